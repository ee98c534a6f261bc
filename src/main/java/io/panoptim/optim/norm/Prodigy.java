package io.panoptim.optim.norm;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.ProdigyRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.optim.Betas;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.OptionalDouble;

/**
 * Prodigy, as its authors' {@code prodigyopt.Prodigy}: Adam that finds its step size {@code d} by itself, from how far the
 * parameters have come from where they began, all tensors together.
 *
 * <p>Groups must agree on all options but the learning rate, the weight decay with its kind, and {@code maximize}, which is
 * checked. The authors' version takes the first group's but for the learning rate, the weight decay, {@code eps}, {@code d0} and
 * {@code safeguard_warmup}, which it reads from each group; {@code decouple} from the first only. {@code d} and its like are float64
 * numbers that all parameters share, and sums are taken in float64; the authors add up float32 sums of each tensor. {@code
 * slice_p}, which estimates from a part of the elements, is 1 here. A step whose gradients, and all before them, were 0 changes no
 * parameter, but counts for {@code use_bias_correction}, since only the device knows of it.
 *
 * <p>A group whose learning rate is 0 is frozen: its values stand still, as its state does. In the authors' version only the state
 * does: the values decay at the other groups' step size and go on along the average as it was left or, where the first of {@code
 * betas} is 0, along the gradient, over a second moment that may be 0, so that they are soon lost.
 *
 * <p>pytorch_optimizer's version counts each step twice, which makes its bias correction wrong. optax's always corrects for bias,
 * has no {@code d_max}, and so no {@code growth_rate}.
 *
 * <p>State: {@code step}, {@code exp_avg} (if the first of {@code betas} is not 0), {@code exp_avg_sq}, {@code s}, {@code p0} (the
 * parameter before its first step), and the common numbers {@code d}, {@code d_max} and {@code d_numerator}. Two passes over
 * memory.
 *
 * @see <a href="https://github.com/konstmish/prodigy/blob/main/prodigyopt/prodigy.py">konstmish/prodigy</a>
 * @see <a href="https://arxiv.org/abs/2306.06101">Mishchenko and Defazio, An Expeditiously Adaptive Parameter-Free Learner</a>
 */
public final class Prodigy extends LearningRateFree<Prodigy.Options> {
    /**
     * The options, with the authors' names and defaults.
     *
     * @param lr factor of the estimated step size, usually 1; at least 0. All groups have the same, except that some may have 0,
     *     which freezes them
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param beta3 decay rate of what the estimate is made of; none for the root of the second of {@code betas}
     * @param eps times the estimate, added to the denominator; above 0
     * @param weightDecay at least 0: relative shrinking per step, times the step size, or else an L2 penalty
     * @param decouple shrink the parameter, as AdamW does, instead of adding to the gradient
     * @param useBiasCorrection Adam's correction of the averages for bias, of the step size
     * @param safeguardWarmup leave the learning rate out of the estimate's denominator, for a warm-up
     * @param d0 the first estimate, above 0
     * @param dCoef factor of the estimate
     * @param growthRate the estimate grows at most by this factor in a step
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, OptionalDouble beta3, double eps, double weightDecay, boolean decouple, boolean
                          useBiasCorrection, boolean safeguardWarmup, double d0, double dCoef, double growthRate, boolean
                          maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("Prodigy", lr);
            Check.betas("Prodigy", betas);
            Check.check(beta3.orElse(0) >= 0 && beta3.orElse(0) < 1, "Prodigy", "Invalid beta3 value: " + beta3.orElse(0));
            Check.check(eps > 0, "Prodigy", "Invalid epsilon value: " + eps);
            Check.weightDecay("Prodigy", weightDecay);
            Check.aNumber("Prodigy", "d_coef", dCoef);
            Check.check(d0 > 0, "Prodigy", "Invalid d0 value: " + d0);
            Check.aNumber("Prodigy", "growth_rate", growthRate);
        }

        /** The authors' defaults. */
        public static Options defaults() {
            return new Options(1, new Betas(0.9, 0.999), OptionalDouble.empty(), 1e-8, 0, true, false, false, 1e-6, 1,
                    Double.POSITIVE_INFINITY, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, beta3, eps, weightDecay, decouple, useBiasCorrection, safeguardWarmup, d0, dCoef,
                    growthRate, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), beta3, eps, weightDecay, decouple, useBiasCorrection,
                    safeguardWarmup, d0, dCoef, growthRate, maximize);
        }

        public Options withBeta3(OptionalDouble newBeta3) {
            return new Options(lr, betas, newBeta3, eps, weightDecay, decouple, useBiasCorrection, safeguardWarmup, d0, dCoef,
                    growthRate, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, beta3, newEps, weightDecay, decouple, useBiasCorrection, safeguardWarmup, d0, dCoef,
                    growthRate, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, beta3, eps, newWeightDecay, decouple, useBiasCorrection, safeguardWarmup, d0, dCoef,
                    growthRate, maximize);
        }

        public Options withDecouple(boolean newDecouple) {
            return new Options(lr, betas, beta3, eps, weightDecay, newDecouple, useBiasCorrection, safeguardWarmup, d0, dCoef,
                    growthRate, maximize);
        }

        public Options withUseBiasCorrection(boolean newUseBiasCorrection) {
            return new Options(lr, betas, beta3, eps, weightDecay, decouple, newUseBiasCorrection, safeguardWarmup, d0, dCoef,
                    growthRate, maximize);
        }

        public Options withSafeguardWarmup(boolean newSafeguardWarmup) {
            return new Options(lr, betas, beta3, eps, weightDecay, decouple, useBiasCorrection, newSafeguardWarmup, d0, dCoef,
                    growthRate, maximize);
        }

        public Options withD0(double newD0) {
            return new Options(lr, betas, beta3, eps, weightDecay, decouple, useBiasCorrection, safeguardWarmup, newD0, dCoef,
                    growthRate, maximize);
        }

        public Options withDCoef(double newDCoef) {
            return new Options(lr, betas, beta3, eps, weightDecay, decouple, useBiasCorrection, safeguardWarmup, d0, newDCoef,
                    growthRate, maximize);
        }

        public Options withGrowthRate(double newGrowthRate) {
            return new Options(lr, betas, beta3, eps, weightDecay, decouple, useBiasCorrection, safeguardWarmup, d0, dCoef,
                    newGrowthRate, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, beta3, eps, weightDecay, decouple, useBiasCorrection, safeguardWarmup, d0, dCoef,
                    growthRate, newMaximize);
        }
    }

    /** The options by the authors' names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Prodigy", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int BETA3 = SCHEMA.index("beta3");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int DECOUPLE = SCHEMA.index("decouple");
    private static final int USE_BIAS_CORRECTION = SCHEMA.index("use_bias_correction");
    private static final int SAFEGUARD_WARMUP = SCHEMA.index("safeguard_warmup");
    private static final int D0 = SCHEMA.index("d0");
    private static final int D_COEF = SCHEMA.index("d_coef");
    private static final int GROWTH_RATE = SCHEMA.index("growth_rate");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    private static final int P0_SLOT = Rule.PRODIGY.states().indexOf("p0");

    /** An optimizer of one group on the best engine for its device. */
    public Prodigy(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Prodigy", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Prodigy(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.PRODIGY, parameters, options, "betas", "beta3", "eps", "use_bias_correction",
                "safeguard_warmup", "d0", "d_coef", "growth_rate");
    }

    @Override
    protected int slots(ParamGroup group) {
        return group.value(BETAS) > 0 ? 4 : 3;
    }

    @Override
    protected boolean beginsAsValue(ParamGroup group, int slot) {
        return slot == P0_SLOT;
    }

    @Override
    protected double initialSharedState(ParamGroup group, String key) {
        return !key.equals("d_numerator") ? group.value(D0) : 0;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        next[STEP] = next(history[STEP]);
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        double beta3 = group.value(BETA3);
        double decay = group.value(WEIGHT_DECAY);
        boolean decouple = group.value(DECOUPLE) != 0;
        rows.set(row, ProdigyRow.WEIGHT_DECAY, decay)
                .set(row, ProdigyRow.EXP_AVG_DECAY, beta1)
                .set(row, ProdigyRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, ProdigyRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, ProdigyRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, ProdigyRow.S_DECAY, Double.isNaN(beta3) ? Math.sqrt(beta2) : beta3)
                .set(row, ProdigyRow.EPS, group.value(EPS))
                .set(row, ProdigyRow.LR, lr())
                .set(row, ProdigyRow.CORRECTION, group.value(USE_BIAS_CORRECTION) != 0 ? correction(beta1, beta2) : 1)
                .set(row, ProdigyRow.D0, group.value(D0))
                .set(row, ProdigyRow.D_COEF, group.value(D_COEF))
                .set(row, ProdigyRow.GROWTH_RATE, group.value(GROWTH_RATE))
                .flags(row, Rows.flag(ProdigyRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(ProdigyRow.L2, !decouple && decay != 0)
                        | Rows.flag(ProdigyRow.DECOUPLED, decouple && decay != 0)
                        | Rows.flag(ProdigyRow.FROZEN, !(group.value(LR) > 0))
                        | Rows.flag(ProdigyRow.SAFEGUARD_WARMUP, group.value(SAFEGUARD_WARMUP) != 0));
    }
}
