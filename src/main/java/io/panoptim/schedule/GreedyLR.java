package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Schedulable;
import io.panoptim.schedule.ReduceLROnPlateau.Mode;
import io.panoptim.schedule.ReduceLROnPlateau.ThresholdMode;
import java.util.List;

/**
 * Divides the learning rate by a factor while a metric keeps getting better, and multiplies it when that stops, as
 * {@code transformers.optimization.GreedyLR} (Subramanian and Ganapathiraman); but, as with all schedulers here, loading its
 * state sets no learning rate.
 */
public final class GreedyLR extends MetricScheduler {
    /**
     * The arguments, with the names and defaults of transformers.
     *
     * @param mode what is better
     * @param factor of the learning rate, above 0 and less than 1
     * @param patience how many epochs in a row may pass before a change
     * @param threshold by how much better the metric must be
     * @param thresholdMode what that is
     * @param cooldown how many epochs after a reduction are not counted
     * @param warmup how many epochs after an increase are not counted
     * @param minLr the lowest learning rate: one, or one for each group
     * @param maxLr the highest learning rate: one, or one for each group
     * @param eps smaller changes are not made
     * @param smooth whether the metric is averaged over the last epochs
     * @param windowSize over how many, at least 1
     * @param resetStart how many reductions in vain, with all groups at their lowest, before all begins anew
     */
    public record Options(Mode mode, double factor, long patience, double threshold, ThresholdMode thresholdMode, long cooldown,
                          long warmup, List<Double> minLr, List<Double> maxLr, double eps, boolean smooth, int windowSize,
                          long resetStart) {
        /** Refuses what is out of range. */
        public Options {
            ReduceLROnPlateau.checkFactor("GreedyLR", factor);
            if (!(factor > 0)) {
                throw PanoptimException.invalid("GreedyLR", "Factor should be > 0.0.");
            }
            if (windowSize < 1) {
                throw PanoptimException.invalid("GreedyLR", "Invalid window_size: " + windowSize + ", at least 1 is needed");
            }
            PerGroup.finite("GreedyLR", "threshold", threshold);
            minLr = List.copyOf(minLr);
            maxLr = List.copyOf(maxLr);
        }

        /** The defaults of transformers: a factor of 0.95, between 0.001 and 1. */
        public static Options defaults() {
            return new Options(Mode.MIN, 0.95, 10, 1e-6, ThresholdMode.ABS, 0, 0, List.of(1e-3), List.of(1.0), 1e-8, false, 50, 500);
        }

        public Options withMode(Mode newMode) {
            return new Options(newMode, factor, patience, threshold, thresholdMode, cooldown, warmup, minLr, maxLr, eps, smooth,
                    windowSize, resetStart);
        }

        public Options withFactor(double newFactor) {
            return new Options(mode, newFactor, patience, threshold, thresholdMode, cooldown, warmup, minLr, maxLr, eps, smooth,
                    windowSize, resetStart);
        }

        public Options withPatience(long newPatience) {
            return new Options(mode, factor, newPatience, threshold, thresholdMode, cooldown, warmup, minLr, maxLr, eps, smooth,
                    windowSize, resetStart);
        }

        public Options withThreshold(double newThreshold, ThresholdMode newThresholdMode) {
            return new Options(mode, factor, patience, newThreshold, newThresholdMode, cooldown, warmup, minLr, maxLr, eps, smooth,
                    windowSize, resetStart);
        }

        /** Epochs that are not counted, after a reduction and after an increase. */
        public Options withPauses(long newCooldown, long newWarmup) {
            return new Options(mode, factor, patience, threshold, thresholdMode, newCooldown, newWarmup, minLr, maxLr, eps, smooth,
                    windowSize, resetStart);
        }

        /** Bounds, one or one for each group. */
        public Options withBounds(List<Double> newMinLr, List<Double> newMaxLr) {
            return new Options(mode, factor, patience, threshold, thresholdMode, cooldown, warmup, newMinLr, newMaxLr, eps, smooth,
                    windowSize, resetStart);
        }

        public Options withEps(double newEps) {
            return new Options(mode, factor, patience, threshold, thresholdMode, cooldown, warmup, minLr, maxLr, newEps, smooth,
                    windowSize, resetStart);
        }

        /** Averages the metric over the last epochs. */
        public Options withWindow(int newWindowSize) {
            return new Options(mode, factor, patience, threshold, thresholdMode, cooldown, warmup, minLr, maxLr, eps, true,
                    newWindowSize, resetStart);
        }

        public Options withResetStart(long newResetStart) {
            return new Options(mode, factor, patience, threshold, thresholdMode, cooldown, warmup, minLr, maxLr, eps, smooth,
                    windowSize, newResetStart);
        }
    }

    private Improvement improvement;
    private double factor;
    private long patience;
    private long cooldown;
    private long warmup;
    private double[] minLrs;
    private double[] maxLrs;
    private double eps;
    private final boolean smooth;
    private Window window;
    private long resetStart;
    private double[] initLrs;
    private double best;
    private long resetsLeft;
    private long cooldownCounter;
    private long warmupCounter;
    private long badEpochs;
    private long goodEpochs;

    /** With the defaults of transformers. */
    public GreedyLR(Schedulable scheduled) {
        this(scheduled, Options.defaults());
    }

    /** Attaches to an optimizer. */
    public GreedyLR(Schedulable scheduled, Options options) {
        double[] lowest = ReduceLROnPlateau.bounds("GreedyLR", "min_lrs", scheduled, options.minLr);
        double[] highest = ReduceLROnPlateau.bounds("GreedyLR", "max_lrs", scheduled, options.maxLr);
        super(scheduled);
        this.improvement = new Improvement(options.mode, options.threshold, options.thresholdMode);
        this.factor = options.factor;
        this.patience = options.patience;
        this.cooldown = options.cooldown;
        this.warmup = options.warmup;
        this.minLrs = lowest;
        this.maxLrs = highest;
        this.eps = options.eps;
        this.smooth = options.smooth;
        this.window = new Window(options.windowSize);
        this.resetStart = options.resetStart;
        this.resetsLeft = options.resetStart;
        this.initLrs = groups.stream().mapToDouble(hyperparameter::get).toArray();
        this.best = improvement.worst();
    }

    @Override
    void advance(double metric) {
        if (groups.size() != minLrs.length) {
            throw PanoptimException.invalid(call("step"), "the optimizer has " + groups.size() + " groups, but had " + minLrs.length
                    + " when the scheduler was made: make it after adding groups");
        }
        double current = smooth ? window.average(metric) : metric;
        lastEpoch(lastEpoch() + 1);
        if (cooldownCounter > 0) {
            cooldownCounter--;
            badEpochs = 0;
            goodEpochs = 0;
        } else if (warmupCounter > 0) {
            warmupCounter--;
            badEpochs = 0;
            goodEpochs = 0;
        } else {
            count(current);
        }
        noteLastLr();
    }

    private void count(double metric) {
        if (improvement.isBetter(metric, best)) {
            best = metric;
            badEpochs = 0;
            goodEpochs++;
        } else {
            badEpochs++;
            goodEpochs = 0;
        }
        if (goodEpochs > patience) {
            increase();
            warmupCounter = warmup;
            goodEpochs = 0;
        } else if (badEpochs > patience) {
            reduce();
            cooldownCounter = cooldown;
            badEpochs = 0;
        }
    }

    private void increase() {
        for (int i = 0; i < maxLrs.length; i++) {
            double before = hyperparameter.get(groups.get(i));
            double after = Math.min(before / factor, maxLrs[i]);
            if (after - before > eps) {
                hyperparameter.set(groups.get(i), after);
            }
        }
        resetsLeft = resetStart;
    }

    private void reduce() {
        boolean allAtLowest = true;
        for (int i = 0; i < minLrs.length; i++) {
            double before = hyperparameter.get(groups.get(i));
            double after = Math.max(before * factor, minLrs[i]);
            if (before - after > eps) {
                hyperparameter.set(groups.get(i), after);
            }
            allAtLowest &= hyperparameter.get(groups.get(i)) <= minLrs[i];
        }
        if (allAtLowest && --resetsLeft <= 0) {
            reset();
        }
    }

    private void reset() {
        for (int i = 0; i < initLrs.length; i++) {
            hyperparameter.set(groups.get(i), initLrs[i]);
        }
        best = improvement.worst();
        badEpochs = 0;
        goodEpochs = 0;
        cooldownCounter = 0;
        warmupCounter = 0;
        resetsLeft = resetStart;
        window.clear();
    }

    @Override
    protected void state(SchedulerState state) {
        factor = state.number("factor", factor);
        minLrs = state.numbers("min_lrs", minLrs);
        maxLrs = state.numbers("max_lrs", maxLrs);
        patience = state.integer("patience", patience);
        state.constant("verbose", false);
        cooldown = state.integer("cooldown", cooldown);
        warmup = state.integer("warmup", warmup);
        cooldownCounter = state.integer("cooldown_counter", cooldownCounter);
        warmupCounter = state.integer("warmup_counter", warmupCounter);
        improvement = improvement.state(state);
        best = state.number("best", best);
        badEpochs = state.integer("num_bad_epochs", badEpochs);
        goodEpochs = state.integer("num_good_epochs", goodEpochs);
        eps = state.number("eps", eps);
        if (state.flag("smooth", smooth) != smooth) {
            throw state.refusal("smooth", "expected " + smooth + ", as this scheduler was made");
        }
        state.constant("window_size", (long) window.size());
        resetsLeft = state.integer("reset_start", resetsLeft);
        resetStart = state.integer("reset_start_original", resetStart);
        initLrs = state.numbers("_init_lrs", initLrs);
        if (smooth) {
            window = state.field("_streaming_avg", window, Window::state, Window::of, "the state of an average");
        }
        super.state(state);
        ReduceLROnPlateau.checkFactor("GreedyLR", factor);
    }
}
