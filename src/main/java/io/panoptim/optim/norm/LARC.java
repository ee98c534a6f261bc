package io.panoptim.optim.norm;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * LARC, as {@code timm.optim.Lars} with {@code trust_clip}: {@link LARS} in which a tensor's own learning rate, the group's times
 * its ratio, is at most the group's. apex's {@code LARC}, which goes around any optimizer, also adapts groups without weight
 * decay, leaves tensors whose norms are 0 quite alone, and has a trust coefficient of 0.02. Two passes over memory, and one for
 * groups that are not adapted.
 *
 * <p>State: {@code momentum_buffer}, with momentum only.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/lars.py">timm.optim.Lars</a>
 * @see <a href="https://github.com/NVIDIA/apex/blob/master/apex/parallel/LARC.py">apex.parallel.LARC</a>
 */
public final class LARC extends LarsFamily<LARC.Options> {
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
     * @param alwaysAdapt also rescale the gradients of groups without weight decay
     * @param maximize ascend instead
     */
    public record Options(double lr, double momentum, double dampening, double weightDecay, boolean nesterov, double trustCoeff,
                          double eps, boolean alwaysAdapt, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("LARC", lr);
            Check.momentum("LARC", momentum);
            Check.aNumber("LARC", "dampening", dampening);
            Check.weightDecay("LARC", weightDecay);
            Check.check(!nesterov || momentum > 0 && dampening == 0, "LARC",
                    "Nesterov momentum requires a momentum and zero dampening");
            Check.aNumber("LARC", "trust_coeff", trustCoeff);
            Check.eps("LARC", eps);
        }

        /** timm's defaults. */
        public static Options defaults() {
            return new Options(1, 0, 0, 0, false, 1e-3, 1e-8, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, momentum, dampening, weightDecay, nesterov, trustCoeff, eps, alwaysAdapt, maximize);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, newMomentum, dampening, weightDecay, nesterov, trustCoeff, eps, alwaysAdapt, maximize);
        }

        public Options withDampening(double newDampening) {
            return new Options(lr, momentum, newDampening, weightDecay, nesterov, trustCoeff, eps, alwaysAdapt, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, momentum, dampening, newWeightDecay, nesterov, trustCoeff, eps, alwaysAdapt, maximize);
        }

        public Options withNesterov(boolean newNesterov) {
            return new Options(lr, momentum, dampening, weightDecay, newNesterov, trustCoeff, eps, alwaysAdapt, maximize);
        }

        public Options withTrustCoeff(double newTrustCoeff) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, newTrustCoeff, eps, alwaysAdapt, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, trustCoeff, newEps, alwaysAdapt, maximize);
        }

        public Options withAlwaysAdapt(boolean newAlwaysAdapt) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, trustCoeff, eps, newAlwaysAdapt, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, trustCoeff, eps, alwaysAdapt, newMaximize);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("LARC", Options.defaults());

    /** An optimizer of one group on the best engine for its device. */
    public LARC(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("LARC", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public LARC(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
    }

    @Override
    boolean trustClip(ParamGroup group) {
        return true;
    }
}
