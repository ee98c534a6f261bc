package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * SignSGD with momentum: the sign of the gradient's decayed average, as {@code optax.signum} and pytorch_optimizer's
 * {@code SignSGD} up to its version 3.5.1 (3.6 and later begin each step with an empty average, or fail where a parameter
 * lacks its first gradient). Where the average is 0 (or, as in torch, NaN) the parameter stays. Neither of the two applies a
 * weight decay, though pytorch_optimizer takes options for one: here they do what they do in its other optimizers.
 *
 * <p>State: {@code momentum_buffer}; none without momentum.
 *
 * @see SignSGD
 * @see <a href="https://optax.readthedocs.io/en/latest/api/optimizers.html#optax.signum">optax.signum</a>
 * @see <a href="https://arxiv.org/abs/1802.04434">Bernstein et al., signSGD: Compressed Optimisation for Non-Convex Problems</a>
 */
public final class Signum extends SignFamily<Signum.Options> {
    /**
     * The options, with pytorch_optimizer's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param momentum decay rate of the average, in [0, 1); 0 for none
     * @param weightDecay at least 0: relative shrinking per step, times the learning rate, or else an L2 penalty
     * @param weightDecouple shrink the parameter, as AdamW does, instead of adding to the gradient
     * @param maximize ascend instead
     */
    public record Options(double lr, double momentum, double weightDecay, boolean weightDecouple, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("Signum", lr);
            Check.check(momentum >= 0 && momentum < 1, "Signum", "Invalid momentum value: " + momentum);
            Check.weightDecay("Signum", weightDecay);
        }

        /** pytorch_optimizer's defaults. */
        public static Options defaults() {
            return new Options(1e-3, 0.9, 0, true, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, momentum, weightDecay, weightDecouple, maximize);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, newMomentum, weightDecay, weightDecouple, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, momentum, newWeightDecay, weightDecouple, maximize);
        }

        public Options withWeightDecouple(boolean newWeightDecouple) {
            return new Options(lr, momentum, weightDecay, newWeightDecouple, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, momentum, weightDecay, weightDecouple, newMaximize);
        }
    }

    /** The options by pytorch_optimizer's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Signum", Options.defaults());

    private static final int MOMENTUM = SCHEMA.index("momentum");

    /** An optimizer of one group on the best engine for its device. */
    public Signum(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Signum", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Signum(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
    }

    @Override
    double momentum(ParamGroup group) {
        return group.value(MOMENTUM);
    }
}
