package io.panoptim.optim;

import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.RadamRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Rectified Adam, as {@code torch.optim.RAdam}: momentum alone until the variance of the second moment is tractable (more than
 * 5 by torch's measure, 4 in the paper).
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_sq}.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.RAdam.html">torch.optim.RAdam</a>
 * @see <a href="https://arxiv.org/abs/1908.03265">Liu et al., On the Variance of the Adaptive Learning Rate and Beyond</a>
 */
public final class RAdam extends FusedOptimizer<RAdam.Options> {
    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay L2 penalty, at least 0
     * @param decoupledWeightDecay shrink the parameter, as AdamW does, instead of adding to the gradient
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, boolean decoupledWeightDecay,
                          boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("RAdam", lr);
            Check.eps("RAdam", eps);
            Check.betas("RAdam", betas);
            Check.weightDecay("RAdam", weightDecay);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(1e-3, new Betas(0.9, 0.999), 1e-8, 0, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, decoupledWeightDecay, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, decoupledWeightDecay, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, decoupledWeightDecay, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, decoupledWeightDecay, maximize);
        }

        public Options withDecoupledWeightDecay(boolean newDecoupledWeightDecay) {
            return new Options(lr, betas, eps, weightDecay, newDecoupledWeightDecay, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, decoupledWeightDecay, newMaximize);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("RAdam", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int DECOUPLED_WEIGHT_DECAY = SCHEMA.index("decoupled_weight_decay");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public RAdam(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("RAdam", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public RAdam(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.RADAM, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double step = next(history[STEP]);
        next[STEP] = step;
        double lr = group.value(LR);
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        double power2 = CMath.pow(beta2, step);
        double correction2 = 1 - power2;
        double length = Rectification.length(beta2, step, power2);
        boolean rectified = length > 5;
        double decay = group.value(WEIGHT_DECAY);
        boolean decoupled = group.value(DECOUPLED_WEIGHT_DECAY) != 0;
        rows.set(row, RadamRow.DECAY, decoupled ? 1 - lr * decay : 1)
                .set(row, RadamRow.WEIGHT_DECAY, decay)
                .set(row, RadamRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, RadamRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, RadamRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, RadamRow.EPS, group.value(EPS))
                .set(row, RadamRow.CORRECTION, 1 - CMath.pow(beta1, step))
                .set(row, RadamRow.LR, lr)
                .set(row, RadamRow.ROOT_CORRECTION, CMath.pow(correction2, 0.5))
                .set(row, RadamRow.RECTIFICATION, rectified ? Rectification.factor(length, Rectification.longest(beta2)) : 1)
                .flags(row, Rows.flag(RadamRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(RadamRow.L2, !decoupled && decay != 0)
                        | Rows.flag(RadamRow.RECTIFIED, rectified));
    }
}
