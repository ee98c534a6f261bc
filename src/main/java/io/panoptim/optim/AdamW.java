package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Adam with decoupled weight decay, as {@code torch.optim.AdamW}: the parameter shrinks by {@code lr * weightDecay}
 * before the update.
 *
 * <p>With {@code caution}, timm's name for it and not torch's, this is C-AdamW: where the average gradient and the gradient
 * disagree the update is left out, and elsewhere divided by the part of the tensor that is left (at least 0.001). That takes a
 * pass of its own over gradients and averages.
 *
 * <p>AMSGrad takes the maximum of the second moment before its correction for bias, as torch does and the paper, which corrects
 * nothing, so that torch's state dictionaries mean the same here; optax takes that of the corrected one, in which the large
 * corrections of the first steps last.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_sq} and, with AMSGrad, {@code max_exp_avg_sq}.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html">torch.optim.AdamW</a>
 * @see <a href="https://arxiv.org/abs/1711.05101">Loshchilov and Hutter, Decoupled Weight Decay Regularization</a>
 * @see <a href="https://arxiv.org/abs/2411.16085">Liang et al., Cautious Optimizers: Improving Training with One Line of Code</a>
 */
public final class AdamW extends AdamFamily<AdamW.Options> {
    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two moments, each in [0, 1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param amsgrad divide by the maximum of the second moment so far
     * @param maximize ascend instead
     * @param caution leave out where the step goes against the gradient, and enlarge the rest
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, boolean amsgrad,
                          boolean maximize, boolean caution) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("AdamW", lr);
            Check.eps("AdamW", eps);
            Check.betas("AdamW", betas);
            Check.weightDecay("AdamW", weightDecay);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(1e-3, new Betas(0.9, 0.999), 1e-8, 1e-2, false, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, amsgrad, maximize, caution);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, amsgrad, maximize, caution);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, amsgrad, maximize, caution);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, amsgrad, maximize, caution);
        }

        public Options withAmsgrad(boolean newAmsgrad) {
            return new Options(lr, betas, eps, weightDecay, newAmsgrad, maximize, caution);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, amsgrad, newMaximize, caution);
        }

        public Options withCaution(boolean newCaution) {
            return new Options(lr, betas, eps, weightDecay, amsgrad, maximize, newCaution);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("AdamW", Options.defaults());

    private static final int CAUTION = SCHEMA.index("caution");

    /** An optimizer of one group on the best engine for its device. */
    public AdamW(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("AdamW", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public AdamW(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
    }

    @Override
    boolean decoupled(ParamGroup group) {
        return true;
    }

    @Override
    boolean cautious(ParamGroup group) {
        return group.value(CAUTION) != 0;
    }
}
