package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.optim.Schedulable;
import java.util.List;
import java.util.Locale;
import java.util.function.DoubleUnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * Moves the learning rate up and down between two bounds, and the momentum against it, as
 * {@code torch.optim.lr_scheduler.CyclicLR}. A scale function that is {@link Stateful} is part of the state.
 */
public final class CyclicLR extends EpochLR {
    /** What becomes of the height from cycle to cycle. */
    public enum Mode {
        /** It stays. */
        TRIANGULAR,
        /** It halves with each cycle. */
        TRIANGULAR2,
        /** It is multiplied by {@code gamma} with each epoch. */
        EXP_RANGE;

        /** torch's word. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** What a scale function is given. */
    public enum ScaleMode {
        /** The number of the cycle, from 1. */
        CYCLE,
        /** The epoch. */
        ITERATIONS;

        /** torch's word. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * The arguments, with torch's names and defaults. Lists hold one number, or one for each group.
     *
     * @param baseLr the lower bound, which becomes the learning rate
     * @param maxLr the upper bound
     * @param stepSizeUp epochs of the way up, above 0
     * @param stepSizeDown epochs of the way down, at least 0
     * @param mode what becomes of the height, unless there is a scale function
     * @param gamma of {@link Mode#EXP_RANGE}
     * @param scaleFn what the height is multiplied by; null for the mode's
     * @param scaleMode what that function is given; the modes' own have theirs
     * @param cycleMomentum whether the momentum, or the first of {@code betas}, moves too
     * @param baseMomentum its value where the learning rate is highest
     * @param maxMomentum its value where the learning rate is lowest
     */
    public record Options(List<Double> baseLr, List<Double> maxLr, double stepSizeUp, double stepSizeDown, Mode mode,
                          double gamma, @Nullable DoubleUnaryOperator scaleFn, ScaleMode scaleMode, boolean cycleMomentum,
                          List<Double> baseMomentum, List<Double> maxMomentum) {
        /** Refuses what is out of range. */
        public Options {
            if (!(stepSizeUp > 0 && stepSizeUp < Double.POSITIVE_INFINITY)) {
                throw PanoptimException.invalid("CyclicLR", "Invalid step_size_up: " + stepSizeUp + ", more than 0 is needed");
            }
            if (!(stepSizeDown >= 0 && stepSizeDown < Double.POSITIVE_INFINITY)) {
                throw PanoptimException.invalid("CyclicLR", "Invalid step_size_down: " + stepSizeDown + ", at least 0 is needed");
            }
            PerGroup.finite("CyclicLR", "gamma", gamma);
            baseLr = List.copyOf(baseLr);
            maxLr = List.copyOf(maxLr);
            baseMomentum = List.copyOf(baseMomentum);
            maxMomentum = List.copyOf(maxMomentum);
        }

        /** torch's defaults: 2000 epochs up, as many down, the same in each cycle, momentum from 0.9 to 0.8 and back. */
        public static Options of(double baseLr, double maxLr) {
            return new Options(List.of(baseLr), List.of(maxLr), 2000, 2000, Mode.TRIANGULAR, 1, null, ScaleMode.CYCLE, true,
                    List.of(0.8), List.of(0.9));
        }

        /** Bounds for each group. */
        public Options withLrs(List<Double> newBaseLr, List<Double> newMaxLr) {
            return new Options(newBaseLr, newMaxLr, stepSizeUp, stepSizeDown, mode, gamma, scaleFn, scaleMode, cycleMomentum,
                    baseMomentum, maxMomentum);
        }

        public Options withStepSizes(double newStepSizeUp, double newStepSizeDown) {
            return new Options(baseLr, maxLr, newStepSizeUp, newStepSizeDown, mode, gamma, scaleFn, scaleMode, cycleMomentum,
                    baseMomentum, maxMomentum);
        }

        public Options withMode(Mode newMode) {
            return new Options(baseLr, maxLr, stepSizeUp, stepSizeDown, newMode, gamma, scaleFn, scaleMode, cycleMomentum,
                    baseMomentum, maxMomentum);
        }

        public Options withGamma(double newGamma) {
            return new Options(baseLr, maxLr, stepSizeUp, stepSizeDown, mode, newGamma, scaleFn, scaleMode, cycleMomentum,
                    baseMomentum, maxMomentum);
        }

        public Options withScaleFn(DoubleUnaryOperator newScaleFn, ScaleMode newScaleMode) {
            return new Options(baseLr, maxLr, stepSizeUp, stepSizeDown, mode, gamma, newScaleFn, newScaleMode, cycleMomentum,
                    baseMomentum, maxMomentum);
        }

        public Options withCycleMomentum(boolean newCycleMomentum) {
            return new Options(baseLr, maxLr, stepSizeUp, stepSizeDown, mode, gamma, scaleFn, scaleMode, newCycleMomentum,
                    baseMomentum, maxMomentum);
        }

        /** Bounds of the momentum, one or one for each group. */
        public Options withMomentums(List<Double> newBaseMomentum, List<Double> newMaxMomentum) {
            return new Options(baseLr, maxLr, stepSizeUp, stepSizeDown, mode, gamma, scaleFn, scaleMode, cycleMomentum,
                    newBaseMomentum, newMaxMomentum);
        }
    }

    private double[] maxLrs;
    private double totalSize;
    private double stepRatio;
    private Mode mode;
    private double gamma;
    private final @Nullable DoubleUnaryOperator scaleFn;
    private ScaleMode scaleMode;
    private final @Nullable MomentumCycle momentum;
    private double[] baseMomentums = {};
    private double[] maxMomentums = {};

    /** Attaches to an optimizer. */
    public CyclicLR(Schedulable scheduled, Options options) {
        double[] baseLrs = PerGroup.of("CyclicLR", "base_lr", scheduled, options.baseLr);
        double[] highest = PerGroup.of("CyclicLR", "max_lr", scheduled, options.maxLr);
        MomentumCycle cycle = !options.cycleMomentum ? null
                : MomentumCycle.of("CyclicLR", scheduled, options.baseMomentum, options.maxMomentum);
        super(scheduled, baseLrs);
        this.maxLrs = highest;
        this.totalSize = options.stepSizeUp + options.stepSizeDown;
        this.stepRatio = options.stepSizeUp / totalSize;
        this.mode = options.mode;
        this.gamma = options.gamma;
        this.scaleFn = options.scaleFn;
        this.scaleMode = options.scaleFn != null ? options.scaleMode : scaleMode(options.mode);
        this.momentum = cycle;
        if (cycle != null) {
            this.baseMomentums = cycle.lowest();
            this.maxMomentums = cycle.highest();
            if (lastEpoch() == -1) {
                cycle.start(groups);
            }
        }
        start();
        baseLrs(baseLrs); // not before: as in torch, the first learning rate is the group's initial one
    }

    private static ScaleMode scaleMode(Mode mode) {
        return mode == Mode.EXP_RANGE ? ScaleMode.ITERATIONS : ScaleMode.CYCLE;
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        double height = height(epoch);
        double scale = scale(epoch);
        for (int i = 0; i < lrs.length; i++) {
            lrs[i] = baseLr(i) + (maxLrs[i] - baseLr(i)) * height * scale;
        }
    }

    @Override
    void updated(long epoch) {
        if (momentum != null) {
            double height = height(epoch);
            double scale = scale(epoch);
            for (int i = 0; i < maxMomentums.length; i++) {
                momentum.momentum().set(groups.get(i), maxMomentums[i] - (maxMomentums[i] - baseMomentums[i]) * height * scale);
            }
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        return baseLr(group) + (maxLrs[group] - baseLr(group)) * height(epoch) * scale(epoch);
    }

    private double cycle(long epoch) {
        return Math.floor(1 + epoch / totalSize);
    }

    /** The part of the way from the lower to the upper bound. */
    private double height(long epoch) {
        double x = 1.0 + epoch / totalSize - cycle(epoch);
        return x <= stepRatio ? x / stepRatio : (x - 1) / (stepRatio - 1);
    }

    private double scale(long epoch) {
        double x = scaleMode == ScaleMode.CYCLE ? cycle(epoch) : epoch;
        if (scaleFn != null) {
            return scaleFn.applyAsDouble(x);
        }
        return switch (mode) {
            case TRIANGULAR -> 1;
            case TRIANGULAR2 -> 1 / CMath.pow(2, x - 1);
            case EXP_RANGE -> CMath.pow(gamma, x);
        };
    }

    @Override
    protected void state(SchedulerState state) {
        maxLrs = state.numbers("max_lrs", maxLrs);
        totalSize = state.number("total_size", totalSize);
        stepRatio = state.number("step_ratio", stepRatio);
        mode = state.choice("mode", mode);
        gamma = state.number("gamma", gamma);
        scaleMode = state.choice("scale_mode", scaleMode);
        boolean cyclesMomentum = momentum != null;
        if (state.flag("cycle_momentum", cyclesMomentum) != cyclesMomentum) {
            throw state.refusal("cycle_momentum", "expected " + cyclesMomentum + ", as this scheduler was made");
        }
        if (momentum != null) {
            state.constant("use_beta1", momentum.isBeta1());
            baseMomentums = state.numbers("base_momentums", baseMomentums);
            maxMomentums = state.numbers("max_momentums", maxMomentums);
        }
        super.state(state);
        state.part("_scale_fn_custom", scaleFn instanceof Stateful stateful ? stateful : null);
        if (scaleFn == null && scaleMode != scaleMode(mode) || !(totalSize > 0) || !(stepRatio > 0 && stepRatio <= 1)) {
            throw state.refusal("total_size", "expected more than 0, a step_ratio of more than 0 up to 1 and the scale_mode of the mode, "
                    + "found " + totalSize + ", " + stepRatio + " and " + scaleMode);
        }
    }

    @Override
    boolean beginsByClosedForm() {
        return false;
    }
}
