package io.panoptim.optim.norm;

import io.panoptim.engine.CMath;
import io.panoptim.engine.DadaptAdamRow;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.optim.Betas;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * D-Adaptation of Adam, as its authors' {@code dadaptation.DAdaptAdam} (version 3): Adam that finds its step size {@code d} by
 * itself, from the gradients' weighted sum, all tensors together.
 *
 * <p>The authors changed the estimate after the preprint, whose algorithm their {@code experimental} folder keeps; optax's {@code
 * dadapt_adamw} is the later one with {@code use_bias_correction} and {@code decouple}, and without a limit of growth.
 * pytorch_optimizer multiplies by the sum that the estimate is divided by.
 *
 * <p>Groups must agree on all options but the learning rate, {@code eps}, the weight decay with its kind, {@code layer_scale} and
 * {@code maximize}, which is checked; the authors' version takes the first group's, of {@code decouple} too. {@code d} and its
 * like are float64 numbers that all parameters share, and sums are taken in float64; the authors add up float32 sums of each tensor.
 * A step whose gradients, and all before them, were 0 changes no parameter, but counts for {@code use_bias_correction}, since only
 * the device knows of it.
 *
 * <p>A group whose learning rate is 0 is frozen: its values stand still, as its state does. In the authors' version only the state
 * does: the values decay at the other groups' step size and go on along the average as it was left.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_sq}, {@code s}, and the common numbers {@code d} and {@code
 * numerator_weighted}. Two passes over memory.
 *
 * @see <a href="https://github.com/facebookresearch/dadaptation/blob/main/dadaptation/dadapt_adam.py">dadaptation</a>
 * @see <a href="https://arxiv.org/abs/2301.07733">Defazio and Mishchenko, Learning-Rate-Free Learning by D-Adaptation</a>
 */
public final class DAdaptAdam extends LearningRateFree<DAdaptAdam.Options> {
    /**
     * The options, with the authors' names and defaults.
     *
     * @param lr factor of the estimated step size, usually 1; at least 0. All groups have the same, except that some may have 0,
     *     which freezes them
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param eps added to the denominator, above 0
     * @param weightDecay at least 0: relative shrinking per step, times the step size, or else an L2 penalty
     * @param decouple shrink the parameter, as AdamW does, instead of adding to the gradient
     * @param useBiasCorrection Adam's correction of the averages for bias, of the step size
     * @param d0 the first estimate, above 0
     * @param growthRate the estimate grows at most by this factor in a step
     * @param layerScale factor of the group's learning rate
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, boolean decouple, boolean useBiasCorrection,
                          double d0, double growthRate, double layerScale, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("DAdaptAdam", lr);
            Check.betas("DAdaptAdam", betas);
            Check.check(eps > 0, "DAdaptAdam", "Invalid epsilon value: " + eps);
            Check.weightDecay("DAdaptAdam", weightDecay);
            Check.atLeastZero("DAdaptAdam", "layer_scale", layerScale);
            Check.check(d0 > 0, "DAdaptAdam", "Invalid d0 value: " + d0);
            Check.aNumber("DAdaptAdam", "growth_rate", growthRate);
        }

        /** The authors' defaults. */
        public static Options defaults() {
            return new Options(1, new Betas(0.9, 0.999), 1e-8, 0, false, false, 1e-6, Double.POSITIVE_INFINITY, 1, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, decouple, useBiasCorrection, d0, growthRate, layerScale, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, decouple, useBiasCorrection, d0, growthRate,
                    layerScale, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, decouple, useBiasCorrection, d0, growthRate, layerScale, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, decouple, useBiasCorrection, d0, growthRate, layerScale, maximize);
        }

        public Options withDecouple(boolean newDecouple) {
            return new Options(lr, betas, eps, weightDecay, newDecouple, useBiasCorrection, d0, growthRate, layerScale, maximize);
        }

        public Options withUseBiasCorrection(boolean newUseBiasCorrection) {
            return new Options(lr, betas, eps, weightDecay, decouple, newUseBiasCorrection, d0, growthRate, layerScale, maximize);
        }

        public Options withD0(double newD0) {
            return new Options(lr, betas, eps, weightDecay, decouple, useBiasCorrection, newD0, growthRate, layerScale, maximize);
        }

        public Options withGrowthRate(double newGrowthRate) {
            return new Options(lr, betas, eps, weightDecay, decouple, useBiasCorrection, d0, newGrowthRate, layerScale, maximize);
        }

        public Options withLayerScale(double newLayerScale) {
            return new Options(lr, betas, eps, weightDecay, decouple, useBiasCorrection, d0, growthRate, newLayerScale, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, decouple, useBiasCorrection, d0, growthRate, layerScale, newMaximize);
        }
    }

    /** The options by the authors' names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("DAdaptAdam", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int DECOUPLE = SCHEMA.index("decouple");
    private static final int USE_BIAS_CORRECTION = SCHEMA.index("use_bias_correction");
    private static final int D0 = SCHEMA.index("d0");
    private static final int GROWTH_RATE = SCHEMA.index("growth_rate");
    private static final int LAYER_SCALE = SCHEMA.index("layer_scale");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public DAdaptAdam(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("DAdaptAdam", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public DAdaptAdam(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.DADAPT_ADAM, parameters, options, "betas", "use_bias_correction", "d0", "growth_rate");
    }

    @Override
    protected int slots(ParamGroup group) {
        return 3;
    }

    @Override
    protected double initialSharedState(ParamGroup group, String key) {
        return key.equals("d") ? group.value(D0) : 0;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        next[STEP] = next(history[STEP]);
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        double rootBeta2 = CMath.pow(beta2, 0.5);
        double decay = group.value(WEIGHT_DECAY);
        boolean decouple = group.value(DECOUPLE) != 0;
        rows.set(row, DadaptAdamRow.WEIGHT_DECAY, decay)
                .set(row, DadaptAdamRow.EXP_AVG_DECAY, beta1)
                .set(row, DadaptAdamRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, DadaptAdamRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, DadaptAdamRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, DadaptAdamRow.S_DECAY, rootBeta2)
                .set(row, DadaptAdamRow.S_WEIGHT, 1 - rootBeta2)
                .set(row, DadaptAdamRow.EPS, group.value(EPS))
                .set(row, DadaptAdamRow.LR, lr())
                .set(row, DadaptAdamRow.CORRECTION, group.value(USE_BIAS_CORRECTION) != 0 ? correction(beta1, beta2) : 1)
                .set(row, DadaptAdamRow.GROWTH_RATE, group.value(GROWTH_RATE))
                .set(row, DadaptAdamRow.LAYER_SCALE, group.value(LAYER_SCALE))
                .flags(row, Rows.flag(DadaptAdamRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(DadaptAdamRow.L2, !decouple && decay != 0)
                        | Rows.flag(DadaptAdamRow.DECOUPLED, decouple && decay != 0)
                        | Rows.flag(DadaptAdamRow.FROZEN, !(group.value(LR) > 0)));
    }
}
