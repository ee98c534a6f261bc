package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Gradient descent by the signs of the gradient, as {@code optax.sign_sgd} and, without momentum, pytorch_optimizer's
 * {@code SignSGD}: each element moves by the learning rate, or stays where its gradient is 0 (or, as in torch, NaN). Neither
 * of the two applies a weight decay, though pytorch_optimizer takes options for one: here they do what they do in its other
 * optimizers.
 *
 * <p>No state.
 *
 * @see Signum
 * @see <a href="https://optax.readthedocs.io/en/latest/api/optimizers.html#optax.sign_sgd">optax.sign_sgd</a>
 * @see <a href="https://arxiv.org/abs/1802.04434">Bernstein et al., signSGD: Compressed Optimisation for Non-Convex Problems</a>
 */
public final class SignSGD extends SignFamily<SignSGD.Options> {
    /**
     * The options, with pytorch_optimizer's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param weightDecay at least 0: relative shrinking per step, times the learning rate, or else an L2 penalty
     * @param weightDecouple shrink the parameter, as AdamW does, instead of adding to the gradient
     * @param maximize ascend instead
     */
    public record Options(double lr, double weightDecay, boolean weightDecouple, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("SignSGD", lr);
            Check.weightDecay("SignSGD", weightDecay);
        }

        /** pytorch_optimizer's defaults. */
        public static Options defaults() {
            return new Options(1e-3, 0, true, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, weightDecay, weightDecouple, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, newWeightDecay, weightDecouple, maximize);
        }

        public Options withWeightDecouple(boolean newWeightDecouple) {
            return new Options(lr, weightDecay, newWeightDecouple, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, weightDecay, weightDecouple, newMaximize);
        }
    }

    /** The options by pytorch_optimizer's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("SignSGD", Options.defaults());

    /** An optimizer of one group on the best engine for its device. */
    public SignSGD(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("SignSGD", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public SignSGD(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
    }

    @Override
    double momentum(ParamGroup group) {
        return 0;
    }
}
