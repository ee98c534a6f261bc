package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Adam, as {@code torch.optim.Adam}: weight decay adds to the gradient.
 *
 * <p>AMSGrad takes the maximum of the second moment before its correction for bias, as torch does and the paper, which corrects
 * nothing, so that torch's state dictionaries mean the same here; optax takes that of the corrected one, in which the large
 * corrections of the first steps last.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_sq} and, with AMSGrad, {@code max_exp_avg_sq}.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html">torch.optim.Adam</a>
 * @see <a href="https://arxiv.org/abs/1412.6980">Kingma and Ba, Adam: A Method for Stochastic Optimization</a>
 */
public final class Adam extends AdamFamily<Adam.Options> {
    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two moments, each in [0, 1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay L2 penalty, at least 0
     * @param amsgrad divide by the maximum of the second moment so far
     * @param maximize ascend instead
     * @param decoupledWeightDecay shrink the parameter, as AdamW does, instead of adding to the gradient
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, boolean amsgrad,
                          boolean maximize, boolean decoupledWeightDecay) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("Adam", lr);
            Check.eps("Adam", eps);
            Check.betas("Adam", betas);
            Check.weightDecay("Adam", weightDecay);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(1e-3, new Betas(0.9, 0.999), 1e-8, 0, false, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, amsgrad, maximize, decoupledWeightDecay);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, amsgrad, maximize, decoupledWeightDecay);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, amsgrad, maximize, decoupledWeightDecay);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, amsgrad, maximize, decoupledWeightDecay);
        }

        public Options withAmsgrad(boolean newAmsgrad) {
            return new Options(lr, betas, eps, weightDecay, newAmsgrad, maximize, decoupledWeightDecay);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, amsgrad, newMaximize, decoupledWeightDecay);
        }

        public Options withDecoupledWeightDecay(boolean newDecoupledWeightDecay) {
            return new Options(lr, betas, eps, weightDecay, amsgrad, maximize, newDecoupledWeightDecay);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Adam", Options.defaults());

    private static final int DECOUPLED = SCHEMA.index("decoupled_weight_decay");

    /** An optimizer of one group on the best engine for its device. */
    public Adam(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Adam", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Adam(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
    }

    @Override
    boolean decoupled(ParamGroup group) {
        return group.value(DECOUPLED) != 0;
    }
}
