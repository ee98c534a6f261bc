package io.panoptim.optim;

import io.panoptim.engine.AdamaxRow;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Adam with the infinity norm in place of the second moment, as {@code torch.optim.Adamax}.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_inf}.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.Adamax.html">torch.optim.Adamax</a>
 * @see <a href="https://arxiv.org/abs/1412.6980">Kingma and Ba, Adam: A Method for Stochastic Optimization, section 7.1</a>
 */
public final class Adamax extends FusedOptimizer<Adamax.Options> {
    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param eps added to the magnitude of the gradient, at least 0
     * @param weightDecay L2 penalty, at least 0
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("Adamax", lr);
            Check.eps("Adamax", eps);
            Check.betas("Adamax", betas);
            Check.weightDecay("Adamax", weightDecay);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(2e-3, new Betas(0.9, 0.999), 1e-8, 0, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, newMaximize);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Adamax", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public Adamax(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Adamax", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Adamax(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.ADAMAX, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double step = next(history[STEP]);
        next[STEP] = step;
        double beta1 = group.value(BETAS);
        double weightDecay = group.value(WEIGHT_DECAY);
        rows.set(row, AdamaxRow.WEIGHT_DECAY, weightDecay)
                .set(row, AdamaxRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, AdamaxRow.EXP_INF_DECAY, group.value(BETAS + 1))
                .set(row, AdamaxRow.EPS, group.value(EPS))
                .set(row, AdamaxRow.STEP_SIZE, -(group.value(LR) / (1 - CMath.pow(beta1, step))))
                .flags(row, Rows.flag(AdamaxRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(AdamaxRow.L2, weightDecay != 0));
    }
}
