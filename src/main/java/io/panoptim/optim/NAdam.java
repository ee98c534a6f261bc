package io.panoptim.optim;

import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.NadamRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Map;

/**
 * Adam with Nesterov momentum, as {@code torch.optim.NAdam}. The {@code caution} of timm's {@code NAdamW} is not offered.
 *
 * <p>State: {@code step}, {@code mu_product} (the product of the momentum coefficients so far, a float32 number also for float64
 * parameters), {@code exp_avg}, {@code exp_avg_sq}.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.NAdam.html">torch.optim.NAdam</a>
 * @see <a href="https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ">Dozat, Incorporating Nesterov Momentum into Adam</a>
 */
public final class NAdam extends FusedOptimizer<NAdam.Options> {
    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay L2 penalty, at least 0
     * @param momentumDecay how fast the momentum coefficient approaches its end, at least 0
     * @param decoupledWeightDecay shrink the parameter, as AdamW does, instead of adding to the gradient
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, double momentumDecay,
                          boolean decoupledWeightDecay, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("NAdam", lr);
            Check.eps("NAdam", eps);
            Check.betas("NAdam", betas);
            Check.weightDecay("NAdam", weightDecay);
            Check.atLeastZero("NAdam", "momentum_decay", momentumDecay);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(2e-3, new Betas(0.9, 0.999), 1e-8, 0, 4e-3, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, momentumDecay, decoupledWeightDecay, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, momentumDecay, decoupledWeightDecay, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, momentumDecay, decoupledWeightDecay, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, momentumDecay, decoupledWeightDecay, maximize);
        }

        public Options withMomentumDecay(double newMomentumDecay) {
            return new Options(lr, betas, eps, weightDecay, newMomentumDecay, decoupledWeightDecay, maximize);
        }

        public Options withDecoupledWeightDecay(boolean newDecoupledWeightDecay) {
            return new Options(lr, betas, eps, weightDecay, momentumDecay, newDecoupledWeightDecay, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, momentumDecay, decoupledWeightDecay, newMaximize);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("NAdam", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MOMENTUM_DECAY = SCHEMA.index("momentum_decay");
    private static final int DECOUPLED_WEIGHT_DECAY = SCHEMA.index("decoupled_weight_decay");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** History, after the number of steps taken: the product of the momentum coefficients. */
    private static final int MU_PRODUCT = 1;

    /** An optimizer of one group on the best engine for its device. */
    public NAdam(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("NAdam", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public NAdam(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.NADAM, parameters, options);
    }

    @Override
    protected double[] initialHistory(ParamGroup group) {
        return new double[] {0, 1};
    }

    /** The momentum coefficient of a step. */
    private static double mu(ParamGroup group, double step) {
        return group.value(BETAS) * (1.0 - 0.5 * CMath.pow(0.96, step * group.value(MOMENTUM_DECAY)));
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double step = next(history[STEP]);
        double lr = group.value(LR);
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        double mu = mu(group, step);
        double muNext = mu(group, step + 1);
        double product = (float) history[MU_PRODUCT] * (float) mu;
        next[STEP] = step;
        next[MU_PRODUCT] = product;
        double decay = group.value(WEIGHT_DECAY);
        boolean decoupled = group.value(DECOUPLED_WEIGHT_DECAY) != 0;
        rows.set(row, NadamRow.DECAY, decoupled ? 1 - lr * decay : 1)
                .set(row, NadamRow.WEIGHT_DECAY, decay)
                .set(row, NadamRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, NadamRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, NadamRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, NadamRow.EPS, group.value(EPS))
                .set(row, NadamRow.CORRECTION, 1 - CMath.pow(beta2, step))
                .set(row, NadamRow.GRADIENT_STEP_SIZE, -lr * (1.0 - mu) / (1.0 - product))
                .set(row, NadamRow.AVERAGE_STEP_SIZE, -lr * muNext / (1.0 - product * muNext))
                .flags(row, Rows.flag(NadamRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(NadamRow.L2, !decoupled && decay != 0));
    }

    @Override
    protected Map<String, Integer> numbers() {
        return Map.of("step", STEP, "mu_product", MU_PRODUCT);
    }
}
