package io.panoptim.optim.norm;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * LARS, as {@code timm.optim.Lars}: SGD whose gradients, with their penalty, are multiplied for each tensor by {@code
 * trust_coeff} times the norm of its parameters, over the norm of the gradient plus {@code weight_decay} times that of the
 * parameters plus {@code eps}, where neither norm is 0.
 *
 * <p>Sources disagree. timm leaves groups without weight decay alone unless asked to adapt them, the paper and apex do not; the
 * momentum buffer holds gradients, in the paper and in optax learning rates too; optax divides by the norm of the gradient with
 * its penalty; bitsandbytes calls a clipping of SGD's update so. This follows timm, whose ratio is the paper's and whose momentum
 * is that of torch's SGD: a schedule of the learning rate works as there, and norms and biases, which by custom do not decay, are
 * left alone.
 *
 * <p>The first step fills the momentum buffer with the gradient itself, without dampening, as in torch's SGD. Two passes over
 * memory, and one for groups that are not adapted.
 *
 * <p>State: {@code momentum_buffer}, with momentum only.
 *
 * @see LARC
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/lars.py">timm.optim.Lars</a>
 * @see <a href="https://arxiv.org/abs/1708.03888">You et al., Large Batch Training of Convolutional Networks</a>
 */
public final class LARS extends LarsFamily<LARS.Options> {
    /**
     * The options, with timm's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param momentum at least 0; 0 for none
     * @param dampening of the gradient that enters the buffer
     * @param weightDecay L2 penalty, at least 0
     * @param nesterov needs momentum and no dampening
     * @param trustCoeff which part of the parameters' norm a gradient gets
     * @param eps added to the gradient's norm, at least 0
     * @param trustClip the learning rate of a tensor is at most the group's: LARC
     * @param alwaysAdapt also rescale the gradients of groups without weight decay
     * @param maximize ascend instead
     */
    public record Options(double lr, double momentum, double dampening, double weightDecay, boolean nesterov, double trustCoeff,
                          double eps, boolean trustClip, boolean alwaysAdapt, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("LARS", lr);
            Check.momentum("LARS", momentum);
            Check.aNumber("LARS", "dampening", dampening);
            Check.weightDecay("LARS", weightDecay);
            Check.check(!nesterov || momentum > 0 && dampening == 0, "LARS",
                    "Nesterov momentum requires a momentum and zero dampening");
            Check.aNumber("LARS", "trust_coeff", trustCoeff);
            Check.eps("LARS", eps);
        }

        /** timm's defaults. */
        public static Options defaults() {
            return new Options(1, 0, 0, 0, false, 1e-3, 1e-8, false, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, momentum, dampening, weightDecay, nesterov, trustCoeff, eps, trustClip, alwaysAdapt,
                    maximize);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, newMomentum, dampening, weightDecay, nesterov, trustCoeff, eps, trustClip, alwaysAdapt,
                    maximize);
        }

        public Options withDampening(double newDampening) {
            return new Options(lr, momentum, newDampening, weightDecay, nesterov, trustCoeff, eps, trustClip, alwaysAdapt,
                    maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, momentum, dampening, newWeightDecay, nesterov, trustCoeff, eps, trustClip, alwaysAdapt,
                    maximize);
        }

        public Options withNesterov(boolean newNesterov) {
            return new Options(lr, momentum, dampening, weightDecay, newNesterov, trustCoeff, eps, trustClip, alwaysAdapt,
                    maximize);
        }

        public Options withTrustCoeff(double newTrustCoeff) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, newTrustCoeff, eps, trustClip, alwaysAdapt,
                    maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, trustCoeff, newEps, trustClip, alwaysAdapt,
                    maximize);
        }

        public Options withTrustClip(boolean newTrustClip) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, trustCoeff, eps, newTrustClip, alwaysAdapt,
                    maximize);
        }

        public Options withAlwaysAdapt(boolean newAlwaysAdapt) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, trustCoeff, eps, trustClip, newAlwaysAdapt,
                    maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, trustCoeff, eps, trustClip, alwaysAdapt,
                    newMaximize);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("LARS", Options.defaults());

    private static final int TRUST_CLIP = SCHEMA.index("trust_clip");

    /** An optimizer of one group on the best engine for its device. */
    public LARS(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("LARS", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public LARS(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
    }

    @Override
    boolean trustClip(ParamGroup group) {
        return group.value(TRUST_CLIP) != 0;
    }
}
