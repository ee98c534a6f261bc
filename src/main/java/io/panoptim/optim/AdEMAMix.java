package io.panoptim.optim;

import io.panoptim.engine.AdemamixRow;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.OptionalDouble;

/**
 * AdEMAMix, as its authors' {@code apple/ml-ademamix} for PyTorch: Adam with a fast and a slow average of the gradient, of
 * which the slow one weighs {@code alpha}. While warming up {@code alpha} grows linearly from 0, and the slow decay rate, by
 * its half-life, from the fast one. The weight decay is part of the update. (optax and bitsandbytes have an {@code alpha} of 5
 * by default.)
 *
 * <p>State: {@code step}, {@code exp_avg_slow}, {@code exp_avg_sq} and, unless the fast decay rate is 0, {@code exp_avg_fast}.
 *
 * @see <a href="https://github.com/apple/ml-ademamix/blob/main/pytorch/ademamix.py">apple/ml-ademamix</a>
 * @see <a href="https://arxiv.org/abs/2409.03137">Pagliardini et al., The AdEMAMix Optimizer: Better, Faster, Older</a>
 */
public final class AdEMAMix extends FusedOptimizer<AdEMAMix.Options> {
    /**
     * The options, with the authors' names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the fast average, of the second moment and of the slow average, each in [0, 1)
     * @param alpha weight of the slow average, at least 0
     * @param beta3Warmup the step at which the slow decay rate reaches its value, at least 0; none for at once
     * @param alphaWarmup the step at which alpha reaches its value, at least 0; none for at once
     * @param eps added to the denominator, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param maximize ascend instead
     */
    public record Options(double lr, ThreeBetas betas, double alpha, OptionalDouble beta3Warmup, OptionalDouble alphaWarmup,
                          double eps, double weightDecay, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("AdEMAMix", lr);
            Check.eps("AdEMAMix", eps);
            Check.betas("AdEMAMix", betas);
            Check.weightDecay("AdEMAMix", weightDecay);
            Check.atLeastZero("AdEMAMix", "alpha", alpha);
            Check.atLeastZero("AdEMAMix", "beta3_warmup", beta3Warmup.orElse(0));
            Check.atLeastZero("AdEMAMix", "alpha_warmup", alphaWarmup.orElse(0));
        }

        /** The authors' defaults. */
        public static Options defaults() {
            return new Options(1e-3, new ThreeBetas(0.9, 0.999, 0.9999), 2, OptionalDouble.empty(), OptionalDouble.empty(), 1e-8,
                    0, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, alpha, beta3Warmup, alphaWarmup, eps, weightDecay, maximize);
        }

        public Options withBetas(double first, double second, double third) {
            return new Options(lr, new ThreeBetas(first, second, third), alpha, beta3Warmup, alphaWarmup, eps, weightDecay,
                    maximize);
        }

        public Options withAlpha(double newAlpha) {
            return new Options(lr, betas, newAlpha, beta3Warmup, alphaWarmup, eps, weightDecay, maximize);
        }

        public Options withBeta3Warmup(OptionalDouble newBeta3Warmup) {
            return new Options(lr, betas, alpha, newBeta3Warmup, alphaWarmup, eps, weightDecay, maximize);
        }

        public Options withAlphaWarmup(OptionalDouble newAlphaWarmup) {
            return new Options(lr, betas, alpha, beta3Warmup, newAlphaWarmup, eps, weightDecay, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, alpha, beta3Warmup, alphaWarmup, newEps, weightDecay, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, alpha, beta3Warmup, alphaWarmup, eps, newWeightDecay, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, alpha, beta3Warmup, alphaWarmup, eps, weightDecay, newMaximize);
        }
    }

    /** The options by the authors's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("AdEMAMix", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int ALPHA = SCHEMA.index("alpha");
    private static final int BETA3_WARMUP = SCHEMA.index("beta3_warmup");
    private static final int ALPHA_WARMUP = SCHEMA.index("alpha_warmup");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public AdEMAMix(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("AdEMAMix", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public AdEMAMix(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.ADEMAMIX, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return group.value(BETAS) != 0 ? 3 : 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double step = next(history[STEP]);
        next[STEP] = step;
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        double beta3 = slowDecay(step / group.value(BETA3_WARMUP), beta1, group.value(BETAS + 2));
        rows.set(row, AdemamixRow.EXP_AVG_FAST_DECAY, beta1)
                .set(row, AdemamixRow.EXP_AVG_FAST_WEIGHT, 1 - beta1)
                .set(row, AdemamixRow.FAST_CORRECTION, 1 - CMath.pow(beta1, step))
                .set(row, AdemamixRow.EXP_AVG_SLOW_DECAY, beta3)
                .set(row, AdemamixRow.EXP_AVG_SLOW_WEIGHT, 1 - beta3)
                .set(row, AdemamixRow.ALPHA, alpha(step / group.value(ALPHA_WARMUP), group.value(ALPHA)))
                .set(row, AdemamixRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, AdemamixRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, AdemamixRow.ROOT_CORRECTION, Math.sqrt(1 - CMath.pow(beta2, step)))
                .set(row, AdemamixRow.EPS, group.value(EPS))
                .set(row, AdemamixRow.WEIGHT_DECAY, group.value(WEIGHT_DECAY))
                .set(row, AdemamixRow.STEP_SIZE, -group.value(LR))
                .flags(row, Rows.flag(AdemamixRow.MAXIMIZE, group.value(MAXIMIZE) != 0));
    }

    /** Linear from 0; {@code progress} through the warm-up is NaN without one. */
    private static double alpha(double progress, double end) {
        return progress < 1 ? progress * end : end;
    }

    /** Linear in the half-life. */
    private static double slowDecay(double progress, double start, double end) {
        if (progress < 1) {
            double steps = (1.0 - progress) * halfLife(start) + progress * halfLife(end);
            return CMath.pow(0.5, 1 / (steps + 1));
        }
        return end;
    }

    private static double halfLife(double decay) {
        return CMath.log(0.5) / CMath.log(decay + 1e-8) - 1;
    }
}
