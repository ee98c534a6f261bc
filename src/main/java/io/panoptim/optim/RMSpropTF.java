package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.RmspropTfRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * RMSprop as TensorFlow has it, as timm's {@code timm.optim.RMSpropTF}: unlike {@link RMSprop} the average square starts at 1,
 * {@code eps} lies inside the root, and the momentum buffer accumulates updates that the learning rate already scales.
 * Centered, the variance can fall below {@code -eps} by rounding, and the parameter becomes NaN, as in timm. timm's {@code
 * caution} and {@code corrected_weight_decay} are not offered.
 *
 * <p>State: {@code step}, {@code square_avg}; with momentum {@code momentum_buffer}; centered {@code grad_avg}.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/rmsprop_tf.py">timm.optim.RMSpropTF</a>
 * @see <a href="https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf">Hinton, lecture 6e</a>
 */
public final class RMSpropTF extends RmspropFamily<RMSpropTF.Options> {
    /**
     * The options, with timm's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param alpha decay rate of the averages, at least 0
     * @param eps added to the average square, under the root, at least 0
     * @param weightDecay at least 0: an L2 penalty, or else relative shrinking per step, times the learning rate
     * @param momentum at least 0; 0 for none
     * @param centered subtract the square of the average gradient
     * @param decoupledDecay shrink the parameter, as AdamW does, instead of adding to the gradient
     * @param lrInMomentum scale what enters the momentum buffer by the learning rate, instead of what leaves it
     * @param maximize ascend instead
     */
    public record Options(double lr, double alpha, double eps, double weightDecay, double momentum, boolean centered,
                          boolean decoupledDecay, boolean lrInMomentum, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("RMSpropTF", lr);
            Check.atLeastZero("RMSpropTF", "alpha", alpha);
            Check.eps("RMSpropTF", eps);
            Check.weightDecay("RMSpropTF", weightDecay);
            Check.momentum("RMSpropTF", momentum);
        }

        /** timm's defaults. */
        public static Options defaults() {
            return new Options(1e-2, 0.9, 1e-10, 0, 0, false, false, true, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, alpha, eps, weightDecay, momentum, centered, decoupledDecay, lrInMomentum, maximize);
        }

        public Options withAlpha(double newAlpha) {
            return new Options(lr, newAlpha, eps, weightDecay, momentum, centered, decoupledDecay, lrInMomentum, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, alpha, newEps, weightDecay, momentum, centered, decoupledDecay, lrInMomentum, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, alpha, eps, newWeightDecay, momentum, centered, decoupledDecay, lrInMomentum, maximize);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, alpha, eps, weightDecay, newMomentum, centered, decoupledDecay, lrInMomentum, maximize);
        }

        public Options withCentered(boolean newCentered) {
            return new Options(lr, alpha, eps, weightDecay, momentum, newCentered, decoupledDecay, lrInMomentum, maximize);
        }

        public Options withDecoupledDecay(boolean newDecoupledDecay) {
            return new Options(lr, alpha, eps, weightDecay, momentum, centered, newDecoupledDecay, lrInMomentum, maximize);
        }

        public Options withLrInMomentum(boolean newLrInMomentum) {
            return new Options(lr, alpha, eps, weightDecay, momentum, centered, decoupledDecay, newLrInMomentum, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, alpha, eps, weightDecay, momentum, centered, decoupledDecay, lrInMomentum, newMaximize);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("RMSpropTF", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int ALPHA = SCHEMA.index("alpha");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MOMENTUM = SCHEMA.index("momentum");
    private static final int DECOUPLED_DECAY = SCHEMA.index("decoupled_decay");
    private static final int LR_IN_MOMENTUM = SCHEMA.index("lr_in_momentum");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public RMSpropTF(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("RMSpropTF", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public RMSpropTF(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.RMSPROP_TF, parameters, options);
    }

    @Override
    protected double initialState(ParamGroup group, int slot) {
        return slot == 0 ? 1 : 0;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        next[STEP] = next(history[STEP]);
        double lr = group.value(LR);
        double decay = group.value(WEIGHT_DECAY);
        boolean decoupled = group.value(DECOUPLED_DECAY) != 0;
        boolean scaled = accelerated(group) && group.value(LR_IN_MOMENTUM) != 0;
        rows.set(row, RmspropTfRow.DECAY, decoupled && decay != 0 ? 1.0 - lr * decay : 1)
                .set(row, RmspropTfRow.WEIGHT_DECAY, decay)
                .set(row, RmspropTfRow.ALPHA_WEIGHT, 1.0 - group.value(ALPHA))
                .set(row, RmspropTfRow.EPS, group.value(EPS))
                .set(row, RmspropTfRow.MOMENTUM, group.value(MOMENTUM))
                .set(row, RmspropTfRow.ACCUMULATION, scaled ? lr : 1)
                .set(row, RmspropTfRow.STEP_SIZE, scaled ? -1 : -lr)
                .flags(row, Rows.flag(RmspropTfRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(RmspropTfRow.L2, !decoupled && decay != 0)
                        | Rows.flag(RmspropTfRow.CENTERED, centered(group)));
    }
}
