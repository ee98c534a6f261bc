package io.panoptim.optim;

import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.ScheduleFreeRow;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Schedule-Free RAdam, as {@code schedulefree.RAdamScheduleFree}: neither a schedule of the learning rate nor a warm-up, but
 * gradients taken between the point that moves and the average of all its points, which is where to evaluate. It trains
 * between {@link #train()} and {@link #eval()}. The step is adaptive once the length of the second moment's average exceeds 4
 * (5 in {@link RAdam}), which is counted by the group's steps, as in the source.
 *
 * <p>State: {@code z}, the point that moves, and {@code exp_avg_sq}, from the first step on.
 *
 * @see <a href="https://github.com/facebookresearch/schedule_free/blob/main/schedulefree/radam_schedulefree.py">
 *     schedulefree.RAdamScheduleFree</a>
 * @see <a href="https://arxiv.org/abs/2405.15682">Defazio et al., The Road Less Scheduled</a>
 */
public final class RAdamScheduleFree extends ScheduleFree<RAdamScheduleFree.Options> {
    /**
     * The options, with the source's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas the interpolation between the two points, in (0, 1), and the decay rate of the second moment, in [0,
     *     1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at the parameter, at least 0
     * @param r the average weights a step by its number to this power
     * @param weightLrPower and by the largest learning rate so far to this one; 0 for not at all
     * @param silentSgdPhase move nothing while the step is not adaptive, instead of steps like SGD's
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, double r, double weightLrPower,
                          boolean silentSgdPhase, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            checkBetas("RAdamScheduleFree", betas);
            Check.lr("RAdamScheduleFree", lr);
            Check.eps("RAdamScheduleFree", eps);
            Check.weightDecay("RAdamScheduleFree", weightDecay);
            Check.aNumber("RAdamScheduleFree", "r", r);
            Check.aNumber("RAdamScheduleFree", "weight_lr_power", weightLrPower);
        }

        /** The source's defaults. */
        public static Options defaults() {
            return new Options(0.0025, new Betas(0.9, 0.999), 1e-8, 0, 0, 2, true, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, r, weightLrPower, silentSgdPhase, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, r, weightLrPower, silentSgdPhase, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, r, weightLrPower, silentSgdPhase, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, r, weightLrPower, silentSgdPhase, maximize);
        }

        public Options withR(double newR) {
            return new Options(lr, betas, eps, weightDecay, newR, weightLrPower, silentSgdPhase, maximize);
        }

        public Options withWeightLrPower(double newWeightLrPower) {
            return new Options(lr, betas, eps, weightDecay, r, newWeightLrPower, silentSgdPhase, maximize);
        }

        public Options withSilentSgdPhase(boolean newSilentSgdPhase) {
            return new Options(lr, betas, eps, weightDecay, r, weightLrPower, newSilentSgdPhase, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, r, weightLrPower, silentSgdPhase, newMaximize);
        }
    }

    /** The options by the source's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("RAdamScheduleFree", Options.defaults());

    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int SILENT_SGD_PHASE = SCHEMA.index("silent_sgd_phase");

    /** An optimizer of one group on the best engine for its device. */
    public RAdamScheduleFree(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("RAdamScheduleFree", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public RAdamScheduleFree(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
    }

    @Override
    double interpolation(ParamGroup group) {
        return group.value(BETAS);
    }

    /** The length of the second moment's average, in steps. */
    private static double length(ParamGroup group, double step) {
        double beta2 = group.value(BETAS + 1);
        return Rectification.length(beta2, step, CMath.pow(beta2, step));
    }

    @Override
    double scheduledLr(ParamGroup group, double step) {
        double length = length(group, step);
        double idle = group.value(SILENT_SGD_PHASE) != 0 ? 0 : 1;
        return group.lr() * (length > 4.0 ? Rectification.factor(length, Rectification.longest(group.value(BETAS + 1))) : idle);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    int own(ParamGroup group, double step, Rows rows, int row) {
        double beta2 = group.value(BETAS + 1);
        rows.set(row, ScheduleFreeRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, ScheduleFreeRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, ScheduleFreeRow.EXP_AVG_SQ_CORRECTION, 1 - CMath.pow(beta2, step))
                .set(row, ScheduleFreeRow.EPS, group.value(EPS));
        return Rows.flag(ScheduleFreeRow.ADAPTIVE, length(group, step) > 4.0);
    }
}
