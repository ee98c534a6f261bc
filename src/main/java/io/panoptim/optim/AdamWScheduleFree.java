package io.panoptim.optim;

import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.ScheduleFreeRow;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Schedule-Free AdamW, as {@code schedulefree.AdamWScheduleFree}: no schedule of the learning rate, but gradients taken
 * between the point that moves and the average of all its points, which is where to evaluate. It trains between {@link
 * #train()} and {@link #eval()}. The bias of the averages is corrected by the group's number of steps, as in the source, also
 * for a parameter that joins later.
 *
 * <p>State: {@code z}, the point that moves, {@code exp_avg_sq} and, with inner momentum, {@code exp_avg}, from the first step
 * on.
 *
 * @see <a href="https://github.com/facebookresearch/schedule_free/blob/main/schedulefree/adamw_schedulefree.py">
 *     schedulefree.AdamWScheduleFree</a>
 * @see <a href="https://arxiv.org/abs/2405.15682">Defazio et al., The Road Less Scheduled</a>
 */
public final class AdamWScheduleFree extends ScheduleFree<AdamWScheduleFree.Options> {
    /**
     * The options, with the source's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas the interpolation between the two points, in (0, 1), and the decay rate of the second moment, in [0,
     *     1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at the parameter, at least 0
     * @param warmupSteps the learning rate rises linearly over so many steps, at least 0
     * @param r the average weights a step by its number to this power
     * @param weightLrPower and by the largest learning rate so far to this one; 0 for not at all
     * @param innerMomentum decay rate of an average of the gradients, in [0, 1); 0 for none
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, long warmupSteps, double r,
                          double weightLrPower, double innerMomentum, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            checkBetas("AdamWScheduleFree", betas);
            Check.lr("AdamWScheduleFree", lr);
            Check.eps("AdamWScheduleFree", eps);
            Check.weightDecay("AdamWScheduleFree", weightDecay);
            Check.atLeastZero("AdamWScheduleFree", "warmup_steps", warmupSteps);
            Check.aNumber("AdamWScheduleFree", "r", r);
            Check.aNumber("AdamWScheduleFree", "weight_lr_power", weightLrPower);
            Check.check(innerMomentum >= 0 && innerMomentum < 1, "AdamWScheduleFree",
                    "Invalid inner_momentum value: " + innerMomentum);
        }

        /** The source's defaults. */
        public static Options defaults() {
            return new Options(0.0025, new Betas(0.9, 0.999), 1e-8, 0, 0, 0, 2, 0, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, warmupSteps, r, weightLrPower, innerMomentum, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, warmupSteps, r, weightLrPower, innerMomentum,
                    maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, warmupSteps, r, weightLrPower, innerMomentum, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, warmupSteps, r, weightLrPower, innerMomentum, maximize);
        }

        public Options withWarmupSteps(long newWarmupSteps) {
            return new Options(lr, betas, eps, weightDecay, newWarmupSteps, r, weightLrPower, innerMomentum, maximize);
        }

        public Options withR(double newR) {
            return new Options(lr, betas, eps, weightDecay, warmupSteps, newR, weightLrPower, innerMomentum, maximize);
        }

        public Options withWeightLrPower(double newWeightLrPower) {
            return new Options(lr, betas, eps, weightDecay, warmupSteps, r, newWeightLrPower, innerMomentum, maximize);
        }

        public Options withInnerMomentum(double newInnerMomentum) {
            return new Options(lr, betas, eps, weightDecay, warmupSteps, r, weightLrPower, newInnerMomentum, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, warmupSteps, r, weightLrPower, innerMomentum, newMaximize);
        }
    }

    /** The options by the source's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("AdamWScheduleFree", Options.defaults());

    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WARMUP_STEPS = SCHEMA.index("warmup_steps");
    private static final int INNER_MOMENTUM = SCHEMA.index("inner_momentum");

    /** An optimizer of one group on the best engine for its device. */
    public AdamWScheduleFree(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("AdamWScheduleFree", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public AdamWScheduleFree(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
    }

    @Override
    double interpolation(ParamGroup group) {
        return group.value(BETAS);
    }

    @Override
    double scheduledLr(ParamGroup group, double step) {
        return warmedUp(group, step, group.value(WARMUP_STEPS));
    }

    @Override
    protected int slots(ParamGroup group) {
        return group.value(INNER_MOMENTUM) != 0 ? 3 : 2;
    }

    @Override
    int own(ParamGroup group, double step, Rows rows, int row) {
        double inner = group.value(INNER_MOMENTUM);
        double beta2 = group.value(BETAS + 1);
        rows.set(row, ScheduleFreeRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, ScheduleFreeRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, ScheduleFreeRow.EXP_AVG_SQ_CORRECTION, 1 - CMath.pow(beta2, step))
                .set(row, ScheduleFreeRow.EPS, group.value(EPS))
                .set(row, ScheduleFreeRow.EXP_AVG_DECAY, inner)
                .set(row, ScheduleFreeRow.EXP_AVG_WEIGHT, 1 - inner)
                .set(row, ScheduleFreeRow.EXP_AVG_CORRECTION, 1 - CMath.pow(inner, step));
        return ScheduleFreeRow.ADAPTIVE;
    }
}
