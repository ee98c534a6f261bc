package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.RmspropRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * RMSprop, as {@code torch.optim.RMSprop}: the gradient over the root of its average square, optionally centered and with
 * momentum. Centered with a steady gradient the variance can fall below 0 by rounding, and the parameter becomes NaN, as in torch.
 *
 * <p>State: {@code step}, {@code square_avg}; with momentum {@code momentum_buffer}; centered {@code grad_avg}.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html">torch.optim.RMSprop</a>
 * @see <a href="https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf">Hinton, lecture 6e</a>
 */
public final class RMSprop extends RmspropFamily<RMSprop.Options> {
    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param alpha decay rate of the averages, at least 0
     * @param eps added to the denominator, at least 0
     * @param weightDecay L2 penalty, at least 0
     * @param momentum at least 0; 0 for none
     * @param centered subtract the square of the average gradient
     * @param maximize ascend instead
     */
    public record Options(double lr, double alpha, double eps, double weightDecay, double momentum, boolean centered,
                          boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("RMSprop", lr);
            Check.eps("RMSprop", eps);
            Check.momentum("RMSprop", momentum);
            Check.weightDecay("RMSprop", weightDecay);
            Check.atLeastZero("RMSprop", "alpha", alpha);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(1e-2, 0.99, 1e-8, 0, 0, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, alpha, eps, weightDecay, momentum, centered, maximize);
        }

        public Options withAlpha(double newAlpha) {
            return new Options(lr, newAlpha, eps, weightDecay, momentum, centered, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, alpha, newEps, weightDecay, momentum, centered, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, alpha, eps, newWeightDecay, momentum, centered, maximize);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, alpha, eps, weightDecay, newMomentum, centered, maximize);
        }

        public Options withCentered(boolean newCentered) {
            return new Options(lr, alpha, eps, weightDecay, momentum, newCentered, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, alpha, eps, weightDecay, momentum, centered, newMaximize);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("RMSprop", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int ALPHA = SCHEMA.index("alpha");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MOMENTUM = SCHEMA.index("momentum");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public RMSprop(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("RMSprop", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public RMSprop(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.RMSPROP, parameters, options);
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        next[STEP] = next(history[STEP]);
        double alpha = group.value(ALPHA);
        double weightDecay = group.value(WEIGHT_DECAY);
        rows.set(row, RmspropRow.WEIGHT_DECAY, weightDecay)
                .set(row, RmspropRow.ALPHA, alpha)
                .set(row, RmspropRow.ALPHA_WEIGHT, 1 - alpha)
                .set(row, RmspropRow.EPS, group.value(EPS))
                .set(row, RmspropRow.MOMENTUM, group.value(MOMENTUM))
                .set(row, RmspropRow.STEP_SIZE, -group.value(LR))
                .flags(row, Rows.flag(RmspropRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(RmspropRow.L2, weightDecay != 0)
                        | Rows.flag(RmspropRow.CENTERED, centered(group)));
    }
}
