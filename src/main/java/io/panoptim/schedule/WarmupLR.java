package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import java.util.List;

/**
 * Puts a warm-up in front of any scheduler, {@link ReduceLROnPlateau} and {@link OneCycleLR} included: for some epochs the
 * learning rate rises from a part of what the scheduler begins with, then the scheduler takes its first step. (A
 * {@link SequentialLR} takes no scheduler that watches a metric, and needs one that can begin anew.)
 */
public final class WarmupLR extends LRScheduler {
    private final LRScheduler scheduler;
    private long warmupSteps;
    private double startFactor;
    private Ramp shape;
    /** What the scheduler begins with. */
    private double[] goals;

    /** Linearly from 0. */
    public WarmupLR(LRScheduler scheduler, long warmupSteps) {
        this(scheduler, warmupSteps, 0, Ramp.LINEAR);
    }

    /**
     * Takes a scheduler over that has just been made.
     *
     * @param warmupSteps how long the warm-up is, at least 0
     * @param startFactor of the first learning rate, from 0 to 1
     * @param shape the way up
     */
    public WarmupLR(LRScheduler scheduler, long warmupSteps, double startFactor, Ramp shape) {
        check(warmupSteps, startFactor);
        super(scheduler.hyperparameter);
        this.scheduler = scheduler;
        this.warmupSteps = warmupSteps;
        this.startFactor = startFactor;
        this.shape = shape;
        this.goals = new double[groups.size()];
        begin();
    }

    private static void check(long warmupSteps, double startFactor) {
        if (warmupSteps < 0) {
            throw PanoptimException.invalid("WarmupLR", "Invalid warmup_steps: " + warmupSteps + ", at least 0 is needed");
        }
        if (!(startFactor >= 0 && startFactor <= 1)) {
            throw PanoptimException.invalid("WarmupLR", "Starting multiplicative factor expected to be between 0 and 1.");
        }
    }

    @Override
    public boolean needsMetric() {
        return scheduler.needsMetric();
    }

    @Override
    void advance() {
        if (!warmUp(lastEpoch() + 1)) {
            scheduler.advance();
        }
        advanced();
    }

    @Override
    void advance(double metric) {
        if (!warmUp(lastEpoch() + 1)) {
            scheduler.advance(metric);
        }
        advanced();
    }

    private void advanced() {
        lastEpoch(lastEpoch() + 1);
        noteLastLr();
    }

    /** Sets the learning rates of an epoch of the warm-up, or of the first one after it; false for later ones. */
    private boolean warmUp(long epoch) {
        if (epoch > warmupSteps) {
            return false;
        }
        warnIfFirst(epoch == 1);
        if (groups.size() != goals.length) {
            throw PanoptimException.invalid(call("step"), "the optimizer has " + groups.size() + " groups, but had " + goals.length
                    + " when the scheduler was made: make it after adding groups");
        }
        for (int i = 0; i < goals.length; i++) {
            hyperparameter.set(groups.get(i), goals[i] * factor(epoch));
        }
        return true;
    }

    private double factor(long epoch) {
        return epoch >= warmupSteps ? 1 : startFactor + (1 - startFactor) * shape.rise((double) epoch / warmupSteps);
    }

    @Override
    public double closedForm(long epoch, int group) {
        double after = needsMetric() && epoch <= warmupSteps ? goals[group]
                : scheduler.closedForm(Math.max(0, epoch - warmupSteps), group);
        return epoch <= warmupSteps ? after * factor(epoch) : after;
    }

    /** Takes what the scheduler has just set as the goal. */
    private void begin() {
        for (int i = 0; i < goals.length; i++) {
            goals[i] = hyperparameter.get(groups.get(i));
        }
        warmUp(0);
        lastEpoch(0);
        noteLastLr();
    }

    @Override
    void startOver() {
        setInitial();
        scheduler.startOver();
        begin();
    }

    @Override
    void initialStep() {
        startOver();
    }

    @Override
    void restart() {
        startOver();
    }

    @Override
    protected void state(SchedulerState state) {
        warmupSteps = state.integer("warmup_steps", warmupSteps);
        startFactor = state.number("start_factor", startFactor);
        shape = state.choice("shape", shape);
        goals = state.numbers("goal_lrs", goals);
        super.state(state);
        state.parts("_schedulers", List.of(scheduler));
        check(warmupSteps, startFactor);
    }
}
