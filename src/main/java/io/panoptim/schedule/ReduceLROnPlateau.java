package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.Schedulable;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Multiplies the learning rate by a factor when a metric has not got better for a while, as
 * {@code torch.optim.lr_scheduler.ReduceLROnPlateau}.
 */
public final class ReduceLROnPlateau extends MetricScheduler {
    /** What is better. */
    public enum Mode {
        /** Less. */
        MIN,
        /** More. */
        MAX;

        /** torch's word. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** What the threshold is. */
    public enum ThresholdMode {
        /** A part of the best so far. */
        REL,
        /** A distance from the best so far. */
        ABS;

        /** torch's word. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * The arguments, with torch's names and defaults.
     *
     * @param mode what is better
     * @param factor of the learning rate, less than 1
     * @param patience how many epochs in a row may bring nothing better
     * @param threshold by how much better it must be
     * @param thresholdMode what that is
     * @param cooldown how many epochs after a change are not counted
     * @param minLr the lowest learning rate: one, which groups added later get too, or one for each group
     * @param eps smaller changes are not made
     */
    public record Options(Mode mode, double factor, long patience, double threshold, ThresholdMode thresholdMode, long cooldown,
                          List<Double> minLr, double eps) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            checkFactor("ReduceLROnPlateau", factor);
            PerGroup.finite("ReduceLROnPlateau", "threshold", threshold);
            minLr = List.copyOf(minLr);
        }

        /** torch's defaults: a tenth after more than 10 epochs in which a loss has not fallen by a 10,000th. */
        public static Options defaults() {
            return new Options(Mode.MIN, 0.1, 10, 1e-4, ThresholdMode.REL, 0, List.of(0.0), 1e-8);
        }

        public Options withMode(Mode newMode) {
            return new Options(newMode, factor, patience, threshold, thresholdMode, cooldown, minLr, eps);
        }

        public Options withFactor(double newFactor) {
            return new Options(mode, newFactor, patience, threshold, thresholdMode, cooldown, minLr, eps);
        }

        public Options withPatience(long newPatience) {
            return new Options(mode, factor, newPatience, threshold, thresholdMode, cooldown, minLr, eps);
        }

        public Options withThreshold(double newThreshold, ThresholdMode newThresholdMode) {
            return new Options(mode, factor, patience, newThreshold, newThresholdMode, cooldown, minLr, eps);
        }

        public Options withCooldown(long newCooldown) {
            return new Options(mode, factor, patience, threshold, thresholdMode, newCooldown, minLr, eps);
        }

        public Options withMinLr(double... newMinLr) {
            return new Options(mode, factor, patience, threshold, thresholdMode, cooldown, PerGroup.list(newMinLr), eps);
        }

        public Options withEps(double newEps) {
            return new Options(mode, factor, patience, threshold, thresholdMode, cooldown, minLr, newEps);
        }
    }

    private Improvement improvement;
    private double factor;
    private long patience;
    private long cooldown;
    private double eps;
    /** For groups added later; null when each has its own. */
    private @Nullable Double defaultMinLr;
    private double[] minLrs;
    private double best;
    private long cooldownCounter;
    private long badEpochs;

    /** With torch's defaults. */
    public ReduceLROnPlateau(Schedulable scheduled) {
        this(scheduled, Options.defaults());
    }

    /** Attaches to an optimizer. */
    public ReduceLROnPlateau(Schedulable scheduled, Options options) {
        double[] lowest = bounds("ReduceLROnPlateau", "min_lrs", scheduled, options.minLr);
        super(scheduled);
        this.improvement = new Improvement(options.mode, options.threshold, options.thresholdMode);
        this.factor = options.factor;
        this.patience = options.patience;
        this.cooldown = options.cooldown;
        this.eps = options.eps;
        this.defaultMinLr = options.minLr.size() == 1 ? options.minLr.getFirst() : null;
        this.minLrs = lowest;
        this.best = improvement.worst();
    }

    static void checkFactor(String scheduler, double factor) {
        if (!(factor < 1.0)) {
            throw PanoptimException.invalid(scheduler, "Factor should be < 1.0.");
        }
    }

    /** Bounds for each group, or torch's refusal. */
    static double[] bounds(String scheduler, String name, Schedulable scheduled, List<Double> values) {
        int groups = scheduled.scheduled().groups().size();
        if (values.size() != 1 && values.size() != groups) {
            throw PanoptimException.invalid(scheduler, "expected " + groups + " " + name + ", got " + values.size());
        }
        return PerGroup.of(scheduler, name, scheduled, values);
    }

    @Override
    void advance(double metric) {
        boolean better = improvement.isBetter(metric, best);
        boolean cooling = cooldownCounter > 0;
        long bad = better || cooling ? 0 : badEpochs + 1;
        boolean reduce = bad > patience;
        if (reduce) {
            reduce();
        }
        lastEpoch(lastEpoch() + 1);
        best = better ? metric : best;
        cooldownCounter = reduce ? cooldown : cooling ? cooldownCounter - 1 : cooldownCounter;
        badEpochs = reduce ? 0 : bad;
        noteLastLr();
    }

    private void reduce() {
        if (minLrs.length != groups.size()) {
            extend();
        }
        for (int i = 0; i < minLrs.length; i++) {
            ParamGroup group = groups.get(i);
            double before = hyperparameter.get(group);
            double after = Math.max(before * factor, minLrs[i]);
            if (before - after > eps) {
                hyperparameter.set(group, after);
            }
        }
    }

    private void extend() {
        if (defaultMinLr == null) {
            throw PanoptimException.invalid(call("step"), "The number of param groups in the `optimizer` (" + groups.size()
                    + ") differs from when `ReduceLROnPlateau` was initialized (" + minLrs.length + "), usually due to a new param "
                    + "group being added to the optimizer: make it after adding groups, or with one min_lr for all.");
        }
        minLrs = new double[groups.size()];
        Arrays.fill(minLrs, defaultMinLr);
    }

    @Override
    protected void state(SchedulerState state) {
        factor = state.number("factor", factor);
        defaultMinLr = state.optionalNumber("default_min_lr", defaultMinLr);
        minLrs = state.anyNumbers("min_lrs", minLrs);
        patience = state.integer("patience", patience);
        cooldown = state.integer("cooldown", cooldown);
        eps = state.number("eps", eps);
        super.state(state);
        improvement = improvement.state(state);
        state.constant("mode_worse", improvement.worst());
        best = state.number("best", best);
        cooldownCounter = state.integer("cooldown_counter", cooldownCounter);
        badEpochs = state.integer("num_bad_epochs", badEpochs);
        checkFactor("ReduceLROnPlateau", factor);
    }
}
