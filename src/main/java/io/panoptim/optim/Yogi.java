package io.panoptim.optim;

import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.YogiRow;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Yogi, as {@code pytorch_optimizer.Yogi} of kozistr/pytorch_optimizer: Adam whose second moment approaches the squared
 * gradient by steps that do not grow with the distance. Its definitions differ: the paper's algorithm starts both averages at
 * 0 and does not correct their bias, while what is in use (kozistr's, optax's {@code yogi}, torch-optimizer's) starts
 * <em>both</em> at {@code initial_accumulator}, which its experiments use, and corrects as Adam does; followed here is what is
 * in use, and with an initial accumulator of 0 only the correction remains of the difference. Steps are counted for each
 * parameter, as in torch's Adam; kozistr counts them for a group.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_sq}.
 *
 * @see <a href="https://github.com/kozistr/pytorch_optimizer/blob/main/pytorch_optimizer/optimizer/yogi.py">kozistr's Yogi</a>
 * @see <a href="https://papers.nips.cc/paper/8186-adaptive-methods-for-nonconvex-optimization">Zaheer et al., Adaptive Methods
 *     for Nonconvex Optimization</a>
 */
public final class Yogi extends FusedOptimizer<Yogi.Options> {
    /**
     * The options, with kozistr's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param initialAccumulator what both averages start from, at least 0
     * @param weightDecay at least 0: relative shrinking per step, or else an L2 penalty
     * @param weightDecouple shrink the parameter, as AdamW does, instead of adding to the gradient
     * @param fixedDecay shrink it independently of the learning rate
     * @param eps added to the denominator, at least 0
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double initialAccumulator, double weightDecay, boolean weightDecouple,
                          boolean fixedDecay, double eps, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("Yogi", lr);
            Check.betas("Yogi", betas);
            Check.atLeastZero("Yogi", "initial_accumulator", initialAccumulator);
            Check.weightDecay("Yogi", weightDecay);
            Check.eps("Yogi", eps);
        }

        /** kozistr's defaults. */
        public static Options defaults() {
            return new Options(1e-2, new Betas(0.9, 0.999), 1e-6, 0, true, false, 1e-3, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, initialAccumulator, weightDecay, weightDecouple, fixedDecay, eps, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), initialAccumulator, weightDecay, weightDecouple, fixedDecay, eps,
                    maximize);
        }

        public Options withInitialAccumulator(double newInitialAccumulator) {
            return new Options(lr, betas, newInitialAccumulator, weightDecay, weightDecouple, fixedDecay, eps, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, initialAccumulator, newWeightDecay, weightDecouple, fixedDecay, eps, maximize);
        }

        public Options withWeightDecouple(boolean newWeightDecouple) {
            return new Options(lr, betas, initialAccumulator, weightDecay, newWeightDecouple, fixedDecay, eps, maximize);
        }

        public Options withFixedDecay(boolean newFixedDecay) {
            return new Options(lr, betas, initialAccumulator, weightDecay, weightDecouple, newFixedDecay, eps, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, initialAccumulator, weightDecay, weightDecouple, fixedDecay, newEps, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, initialAccumulator, weightDecay, weightDecouple, fixedDecay, eps, newMaximize);
        }
    }

    /** The options by kozistr's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Yogi", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int INITIAL_ACCUMULATOR = SCHEMA.index("initial_accumulator");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int WEIGHT_DECOUPLE = SCHEMA.index("weight_decouple");
    private static final int FIXED_DECAY = SCHEMA.index("fixed_decay");
    private static final int EPS = SCHEMA.index("eps");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public Yogi(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Yogi", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Yogi(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.YOGI, parameters, options);
    }

    @Override
    protected double initialState(ParamGroup group, int slot) {
        return group.value(INITIAL_ACCUMULATOR);
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
        double decay = group.value(WEIGHT_DECAY);
        boolean decoupled = group.value(WEIGHT_DECOUPLE) != 0;
        rows.set(row, YogiRow.DECAY, decoupled ? 1.0 - decay * (group.value(FIXED_DECAY) != 0 ? 1.0 : lr) : 1)
                .set(row, YogiRow.WEIGHT_DECAY, decay)
                .set(row, YogiRow.EXP_AVG_DECAY, beta1)
                .set(row, YogiRow.EXP_AVG_WEIGHT, 1.0 - beta1)
                .set(row, YogiRow.EXP_AVG_SQ_WEIGHT, -(1.0 - beta2))
                .set(row, YogiRow.ROOT_CORRECTION, Math.sqrt(1.0 - CMath.pow(beta2, step)))
                .set(row, YogiRow.EPS, group.value(EPS))
                .set(row, YogiRow.STEP_SIZE, -(lr / (1.0 - CMath.pow(beta1, step))))
                .flags(row, Rows.flag(YogiRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(YogiRow.L2, !decoupled && decay > 0));
    }
}
