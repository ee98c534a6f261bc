package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.ScheduleFreeRow;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Schedule-Free SGD, as {@code schedulefree.SGDScheduleFree}: no schedule of the learning rate, but gradients taken between
 * the point that moves and the average of all its points, which is where to evaluate. It trains between {@link #train()} and
 * {@link #eval()}.
 *
 * <p>State: {@code z}, the point that moves, from the first step on.
 *
 * @see <a href="https://github.com/facebookresearch/schedule_free/blob/main/schedulefree/sgd_schedulefree.py">
 *     schedulefree.SGDScheduleFree</a>
 * @see <a href="https://arxiv.org/abs/2405.15682">Defazio et al., The Road Less Scheduled</a>
 */
public final class SGDScheduleFree extends ScheduleFree<SGDScheduleFree.Options> {
    /**
     * The options, with the source's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param momentum the interpolation between the two points, in (0, 1)
     * @param weightDecay L2 penalty at the parameter, at least 0
     * @param warmupSteps the learning rate rises linearly over so many steps, at least 0
     * @param r the average weights a step by its number to this power
     * @param weightLrPower and by the largest learning rate so far to this one; 0 for not at all
     * @param maximize ascend instead
     */
    public record Options(double lr, double momentum, double weightDecay, long warmupSteps, double r, double weightLrPower,
                          boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("SGDScheduleFree", lr);
            Check.check(momentum > 0 && momentum < 1, "SGDScheduleFree",
                    "Momentum must be between 0 and 1 exclusive: " + momentum);
            Check.weightDecay("SGDScheduleFree", weightDecay);
            Check.atLeastZero("SGDScheduleFree", "warmup_steps", warmupSteps);
            Check.aNumber("SGDScheduleFree", "r", r);
            Check.aNumber("SGDScheduleFree", "weight_lr_power", weightLrPower);
        }

        /** The source's defaults. */
        public static Options defaults() {
            return new Options(1.0, 0.9, 0, 0, 0, 2, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, momentum, weightDecay, warmupSteps, r, weightLrPower, maximize);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, newMomentum, weightDecay, warmupSteps, r, weightLrPower, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, momentum, newWeightDecay, warmupSteps, r, weightLrPower, maximize);
        }

        public Options withWarmupSteps(long newWarmupSteps) {
            return new Options(lr, momentum, weightDecay, newWarmupSteps, r, weightLrPower, maximize);
        }

        public Options withR(double newR) {
            return new Options(lr, momentum, weightDecay, warmupSteps, newR, weightLrPower, maximize);
        }

        public Options withWeightLrPower(double newWeightLrPower) {
            return new Options(lr, momentum, weightDecay, warmupSteps, r, newWeightLrPower, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, momentum, weightDecay, warmupSteps, r, weightLrPower, newMaximize);
        }
    }

    /** The options by the source's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("SGDScheduleFree", Options.defaults());

    private static final int MOMENTUM = SCHEMA.index("momentum");
    private static final int WARMUP_STEPS = SCHEMA.index("warmup_steps");

    /** An optimizer of one group on the best engine for its device. */
    public SGDScheduleFree(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("SGDScheduleFree", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public SGDScheduleFree(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
    }

    @Override
    double interpolation(ParamGroup group) {
        return group.value(MOMENTUM);
    }

    @Override
    double scheduledLr(ParamGroup group, double step) {
        return warmedUp(group, step, group.value(WARMUP_STEPS));
    }

    @Override
    protected int slots(ParamGroup group) {
        return 1;
    }

    @Override
    int own(ParamGroup group, double step, Rows rows, int row) {
        return 0;
    }
}
