package io.panoptim.optim.norm;

import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.LambRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.optim.Betas;
import io.panoptim.optim.Check;
import io.panoptim.optim.FusedOptimizer;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.OptionalDouble;

/**
 * LAMB, as {@code timm.optim.Lamb}: Adam's update, multiplied for each tensor by the ratio of the norm of its parameters to that
 * of the update, where neither is 0. timm's is apex's {@code FusedLAMB} ({@code csrc/multi_tensor_lamb.cu}, with {@code
 * adam_w_mode}) in torch's calls, and computes the same but for rounding: the averages corrected for bias, the gradients clipped
 * by the norm of all of them together, groups without weight decay not rescaled unless asked for. The paper's algorithm has no
 * such clipping and rescales everything; DeepSpeed's also keeps the ratio within bounds. timm's {@code caution} and {@code
 * corrected_weight_decay} are not offered.
 *
 * <p>The number of steps is each parameter's own, as in torch's optimizers; timm counts them for a group. The clipping norm is that
 * of all parameters with a gradient, the bound of it a group's own. Two passes over memory, and one over the gradients before
 * them where their norm is limited.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_sq}.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/lamb.py">timm.optim.Lamb</a>
 * @see <a href="https://arxiv.org/abs/1904.00962">You et al., Large Batch Optimization for Deep Learning</a>
 */
public final class LAMB extends FusedOptimizer<LAMB.Options> {
    /**
     * The options, with timm's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param biasCorrection divide the averages by what they lack of their full weight, as Adam does
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay at least 0: this part of the parameter is added to the update or, if decoupled, taken from it
     * @param gradAveraging multiply the gradient by 1 minus the first decay rate when it enters the average
     * @param maxGradNorm all gradients are divided by their common norm over this, where that is more than 1; above 0, or none
     * @param trustClip a tensor's ratio is at most 1 (LAMBC)
     * @param alwaysAdapt also rescale the updates of groups without weight decay (apex: {@code use_nvlamb})
     * @param decoupledDecay shrink the parameter before the update, as AdamW does, instead of adding to the update
     * @param maximize ascend instead
     */
    public record Options(double lr, boolean biasCorrection, Betas betas, double eps, double weightDecay, boolean gradAveraging,
                          OptionalDouble maxGradNorm, boolean trustClip, boolean alwaysAdapt, boolean decoupledDecay, boolean
                          maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("LAMB", lr);
            Check.eps("LAMB", eps);
            Check.betas("LAMB", betas);
            Check.weightDecay("LAMB", weightDecay);
            Check.check(maxGradNorm.orElse(1) > 0, "LAMB", "Invalid max_grad_norm value: " + maxGradNorm.orElse(1));
        }

        /** timm's defaults. */
        public static Options defaults() {
            return new Options(1e-3, true, new Betas(0.9, 0.999), 1e-6, 0.01, true, OptionalDouble.of(1), false, false, false,
                    false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, biasCorrection, betas, eps, weightDecay, gradAveraging, maxGradNorm, trustClip, alwaysAdapt,
                    decoupledDecay, maximize);
        }

        public Options withBiasCorrection(boolean newBiasCorrection) {
            return new Options(lr, newBiasCorrection, betas, eps, weightDecay, gradAveraging, maxGradNorm, trustClip, alwaysAdapt,
                    decoupledDecay, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, biasCorrection, new Betas(first, second), eps, weightDecay, gradAveraging, maxGradNorm,
                    trustClip, alwaysAdapt, decoupledDecay, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, biasCorrection, betas, newEps, weightDecay, gradAveraging, maxGradNorm, trustClip, alwaysAdapt,
                    decoupledDecay, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, biasCorrection, betas, eps, newWeightDecay, gradAveraging, maxGradNorm, trustClip, alwaysAdapt,
                    decoupledDecay, maximize);
        }

        public Options withGradAveraging(boolean newGradAveraging) {
            return new Options(lr, biasCorrection, betas, eps, weightDecay, newGradAveraging, maxGradNorm, trustClip, alwaysAdapt,
                    decoupledDecay, maximize);
        }

        public Options withMaxGradNorm(OptionalDouble newMaxGradNorm) {
            return new Options(lr, biasCorrection, betas, eps, weightDecay, gradAveraging, newMaxGradNorm, trustClip, alwaysAdapt,
                    decoupledDecay, maximize);
        }

        public Options withTrustClip(boolean newTrustClip) {
            return new Options(lr, biasCorrection, betas, eps, weightDecay, gradAveraging, maxGradNorm, newTrustClip, alwaysAdapt,
                    decoupledDecay, maximize);
        }

        public Options withAlwaysAdapt(boolean newAlwaysAdapt) {
            return new Options(lr, biasCorrection, betas, eps, weightDecay, gradAveraging, maxGradNorm, trustClip, newAlwaysAdapt,
                    decoupledDecay, maximize);
        }

        public Options withDecoupledDecay(boolean newDecoupledDecay) {
            return new Options(lr, biasCorrection, betas, eps, weightDecay, gradAveraging, maxGradNorm, trustClip, alwaysAdapt,
                    newDecoupledDecay, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, biasCorrection, betas, eps, weightDecay, gradAveraging, maxGradNorm, trustClip, alwaysAdapt,
                    decoupledDecay, newMaximize);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("LAMB", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BIAS_CORRECTION = SCHEMA.index("bias_correction");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int GRAD_AVERAGING = SCHEMA.index("grad_averaging");
    private static final int MAX_GRAD_NORM = SCHEMA.index("max_grad_norm");
    private static final int TRUST_CLIP = SCHEMA.index("trust_clip");
    private static final int ALWAYS_ADAPT = SCHEMA.index("always_adapt");
    private static final int DECOUPLED_DECAY = SCHEMA.index("decoupled_decay");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** Of all gradients of the step, if a group limits it. */
    private double norm;

    /** An optimizer of one group on the best engine for its device. */
    public LAMB(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("LAMB", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public LAMB(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.LAMB, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected void beforeStep() {
        boolean limited = false;
        for (int i = 0; i < paramGroups().size(); i++) {
            limited |= !Double.isNaN(paramGroups().get(i).value(MAX_GRAD_NORM));
        }
        norm = limited ? gradientNorm() : 0;
    }

    /** What gradients are divided by. */
    private double clip(double maxGradNorm) {
        return norm <= maxGradNorm || Double.isNaN(maxGradNorm) ? 1 : norm / maxGradNorm;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double step = next(history[STEP]);
        next[STEP] = step;
        double lr = group.value(LR);
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        double decay = group.value(WEIGHT_DECAY);
        boolean corrected = group.value(BIAS_CORRECTION) != 0;
        boolean decoupled = group.value(DECOUPLED_DECAY) != 0;
        rows.set(row, LambRow.CLIP, clip(group.value(MAX_GRAD_NORM)))
                .set(row, LambRow.DECAY, -lr * decay)
                .set(row, LambRow.WEIGHT_DECAY, decay)
                .set(row, LambRow.EXP_AVG_DECAY, beta1)
                .set(row, LambRow.EXP_AVG_WEIGHT, group.value(GRAD_AVERAGING) != 0 ? 1 - beta1 : 1)
                .set(row, LambRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, LambRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, LambRow.CORRECTION, corrected ? 1 - CMath.pow(beta1, step) : 1)
                .set(row, LambRow.ROOT_CORRECTION, corrected ? CMath.pow(1 - CMath.pow(beta2, step), 0.5) : 1)
                .set(row, LambRow.EPS, group.value(EPS))
                .set(row, LambRow.STEP_SIZE, -lr)
                .flags(row, Rows.flag(LambRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(LambRow.COUPLED, !decoupled && decay != 0)
                        | Rows.flag(LambRow.DECOUPLED, decoupled && decay != 0)
                        | Rows.flag(LambRow.ADAPT, decay != 0 || group.value(ALWAYS_ADAPT) != 0)
                        | Rows.flag(LambRow.TRUST_CLIP, group.value(TRUST_CLIP) != 0));
    }
}
