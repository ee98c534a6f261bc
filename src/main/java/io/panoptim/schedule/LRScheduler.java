package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Hyperparameter;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.Schedulable;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What all schedulers have in common. They set the learning rate of each group of an optimizer, or another
 * {@link Hyperparameter} in its place, once when they are made and then with each {@link #step()}, as torch's classes of
 * the same names: to the last bit of a double. A scheduler only writes scalars, and a step allocates nothing.
 *
 * <p>Like torch's, a state does not say which learning rates the groups have: they are the optimizer's state. To go on
 * from a checkpoint make the scheduler as before, then bring back the groups' options and {@linkplain ParamGroup#fields()
 * fields}, then {@link #loadStateDict}.
 *
 * <p>A scheduler of your own extends {@link EpochLR}.
 */
public abstract class LRScheduler implements Stateful {
    private static final Logger LOGGER = System.getLogger(LRScheduler.class.getName());

    final Hyperparameter hyperparameter;
    /** The groups that are scheduled: those added later may be among them. */
    final List<ParamGroup> groups;
    private double[] lastLr;
    private long lastEpoch;
    private boolean waits;
    /** The optimizer's steps when this was made, and when it was last stepped. */
    private final long stepsBefore;
    private long stepsSeen;

    LRScheduler(Schedulable scheduled) {
        this.hyperparameter = scheduled.scheduled();
        this.groups = hyperparameter.groups();
        this.lastEpoch = hyperparameter.lastEpoch();
        this.lastLr = new double[groups.size()];
        this.stepsBefore = hyperparameter.optimizer().steps();
        this.stepsSeen = stepsBefore;
    }

    /**
     * Sets the learning rates of the next epoch. Call it after the optimizer's step.
     *
     * @throws PanoptimException when the optimizer's groups are no longer those that it was made for, when it needs a metric,
     *     or when the schedule is over or gives no number; then nothing has changed
     */
    public final void step() {
        if (needsMetric()) {
            throw PanoptimException.invalid(call("step"), "step() missing 1 required positional argument: 'metrics'");
        }
        if (mayAdvance()) {
            advance();
            noteSteps();
        }
    }

    /** {@link #step()} for a loop that has a metric, such as the loss, but does not know whether its scheduler watches one. */
    public final void stepWithMetric(double metric) {
        if (mayAdvance()) {
            advance(metric);
            noteSteps();
        }
    }

    /** Whether it watches a metric, which {@link #stepWithMetric} gives it. */
    public boolean needsMetric() {
        return false;
    }

    /**
     * Whether a step does nothing when the optimizer has taken none since the last one, as when an overflow made a loss scaler
     * skip it; by default it advances, as in torch.
     */
    public final void waitForOptimizer(boolean newWaits) {
        waits = newWaits;
        noteSteps();
    }

    /** The learning rate of each group, as last set. */
    public final List<Double> lastLr() {
        return Arrays.stream(lastLr).boxed().toList();
    }

    /** How many times it has been stepped; in a {@link SequentialLR} since its turn came. */
    public final long lastEpoch() {
        return lastEpoch;
    }

    /** What it sets. */
    public final Hyperparameter hyperparameter() {
        return hyperparameter;
    }

    /**
     * The learning rate that the schedule alone gives a group at an epoch, whatever else has changed it.
     *
     * @param group counted among the scheduled ones
     * @throws PanoptimException when it follows from a metric
     */
    public abstract double closedForm(long epoch, int group);

    /** The fields under torch's keys. */
    @Override
    public final Map<String, @Nullable Object> stateDict() {
        SchedulerState state = SchedulerState.saving();
        state(state);
        return state.saved();
    }

    /**
     * Takes over the fields of a state, torch's too, or refuses it and stays as it was. The groups' learning rates are not
     * among them.
     */
    @Override
    public final void loadStateDict(Map<String, ? extends @Nullable Object> stateDict) {
        Map<String, @Nullable Object> before = stateDict();
        try {
            load(stateDict);
        } catch (RuntimeException refused) {
            load(before);
            throw refused;
        }
    }

    private void load(Map<String, ? extends @Nullable Object> stateDict) {
        SchedulerState state = SchedulerState.loading(call("loadStateDict"), stateDict);
        state(state);
        state.finish();
    }

    /** Lists the fields that are the state; a subclass adds its own, and refuses values out of range. */
    protected void state(SchedulerState state) {
        lastEpoch = state.integer("last_epoch", lastEpoch);
        lastLrState(state);
    }

    final void lastLrState(SchedulerState state) {
        lastLr = state.numbers("_last_lr", lastLr);
        state.ignored("verbose"); // of older torch
    }

    /** torch's {@code step}. */
    abstract void advance();

    /** {@link #advance()} for those that watch a metric. */
    void advance(double metric) {
        advance();
    }

    /** torch's {@code _update_lr(0)}: what a {@link SequentialLR} calls when the turn has come. */
    abstract void restart();

    /** torch's {@code recursive_undo}: takes back that making a scheduler has already set epoch 0. */
    void undo() {
        lastEpoch--;
    }

    /** torch's {@code _initial_step}. */
    abstract void initialStep();

    /** Starts over from the initial learning rates, which are set, as if just made. */
    abstract void startOver();

    /** Whether epochs go on from the present learning rate, and do not just replace it. */
    boolean isChainable() {
        return false;
    }

    /** torch's warning, at the first step: whether the optimizer has taken none. */
    final void warnIfFirst(boolean first) {
        if (first && hyperparameter.optimizer().steps() == stepsBefore) {
            LOGGER.log(Level.WARNING, "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call them in the "
                    + "opposite order: `optimizer.step()` before `lr_scheduler.step()`. Failure to do this will result in skipping "
                    + "the first value of the learning rate schedule.");
        }
    }

    final void lastEpoch(long newLastEpoch) {
        lastEpoch = newLastEpoch;
    }

    /** Notes the learning rates that the groups have now as the last. */
    final void noteLastLr() {
        if (lastLr.length != groups.size()) {
            lastLr = new double[groups.size()];
        }
        for (int i = 0; i < lastLr.length; i++) {
            lastLr[i] = hyperparameter.get(groups.get(i));
        }
    }

    final void noteLastLr(LRScheduler other) {
        System.arraycopy(other.lastLr, 0, lastLr, 0, lastLr.length);
    }

    /** Sets the learning rates that the groups started with. */
    final void setInitial() {
        for (ParamGroup group : groups) {
            hyperparameter.set(group, field(group, "initial_" + hyperparameter.name()));
        }
    }

    /** The value of an entry beside a group's options. */
    final double field(ParamGroup group, String name) {
        if (group.fields().get(name) instanceof Number number) {
            return number.doubleValue();
        }
        throw PanoptimException.invalid(call("step"), "the group has no number '" + name + "' among its fields");
    }

    final String call(String verb) {
        return getClass().getSimpleName() + "." + verb;
    }

    /** Where it does not matter, the device need not tell how many steps took place. */
    private void noteSteps() {
        if (waits) {
            stepsSeen = hyperparameter.optimizer().steps();
        }
    }

    private boolean mayAdvance() {
        return !waits || hyperparameter.optimizer().steps() != stepsSeen;
    }
}
