package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.Schedulable;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** A scheduler whose learning rates follow from the epoch, the initial and the present ones; the base class for your own. */
public abstract class EpochLR extends LRScheduler {
    private final double[] next;
    private final String initialField;
    private double[] baseLrs;
    private long stepCount;
    private boolean initial;

    /** Attaches to an optimizer, whose present learning rates become the initial ones unless it has such already. */
    protected EpochLR(Schedulable scheduled) {
        this(scheduled, null);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param starts for each group what becomes the initial learning rate, unless it has one; null for the present one
     */
    EpochLR(Schedulable scheduled, double @Nullable [] starts) {
        super(scheduled);
        this.next = new double[groups.size()];
        this.baseLrs = new double[groups.size()];
        this.initialField = "initial_" + hyperparameter.name();
        for (int i = 0; i < baseLrs.length; i++) {
            ParamGroup group = groups.get(i);
            if (group.fields().get(initialField) instanceof Number number) {
                baseLrs[i] = number.doubleValue();
            } else if (hyperparameter.lastEpoch() == -1) {
                baseLrs[i] = starts != null ? starts[i] : hyperparameter.get(group);
            } else {
                throw PanoptimException.invalid(getClass().getSimpleName(), "param '" + initialField + "' is not specified in "
                        + "param_groups[" + i + "] when resuming scheduler with last_epoch >= 0: load the optimizer's state first, "
                        + "or start with -1");
            }
        }
    }

    /**
     * Replaces the present learning rates by those of an epoch: torch's {@code get_lr}. It must change nothing else.
     *
     * @param lrs for each group, the present learning rate
     */
    protected abstract void lrs(long epoch, double[] lrs);

    /** The learning rate that a group started with. */
    protected final double baseLr(int group) {
        return baseLrs[group];
    }

    /** Whether the scheduler is being made, or begins in a {@link SequentialLR}. */
    protected final boolean isInitial() {
        return initial;
    }

    /** torch's {@code _step_count}: how many epochs have been set, the one now being set included. */
    protected final long stepCount() {
        return stepCount;
    }

    /** Sets the learning rates of epoch 0; the last thing a subclass's constructor does. */
    protected final void start() {
        initialStep();
    }

    @Override
    protected void state(SchedulerState state) {
        baseLrs = state.numbers("base_lrs", baseLrs);
        super.state(state);
        stepCount = state.integer("_step_count", stepCount);
        state.constant("_is_initial", false);
        state.constant("_get_lr_called_within_step", false);
    }

    /** Whether torch's class has a closed form, by which it then begins in a {@link SequentialLR}. */
    boolean beginsByClosedForm() {
        return true;
    }

    /** What else changes with the learning rates, once these are set. */
    void updated(long epoch) {}

    /** Replaces the initial learning rates. */
    final void baseLrs(double[] newBaseLrs) {
        baseLrs = newBaseLrs.clone();
    }

    @Override
    void advance() {
        warnIfFirst(stepCount == 1);
        stepCount++;
        boolean done = false;
        try {
            update(lastEpoch() + 1, false);
            done = true;
        } finally {
            if (!done) {
                stepCount--;
            }
        }
    }

    @Override
    void restart() {
        update(0, beginsByClosedForm());
    }

    @Override
    final void initialStep() {
        stepCount = 0;
        initial = true;
        try {
            advance();
        } finally {
            initial = false;
        }
    }

    @Override
    final void startOver() {
        lastEpoch(-1);
        initialStep();
    }

    /** torch's {@code _update_lr}: computes all, then checks all, then writes all. */
    final void update(long epoch, boolean byClosedForm) {
        if (groups.size() != next.length) {
            throw PanoptimException.invalid(call("step"), "the optimizer has " + groups.size() + " groups, but had " + next.length
                    + " when the scheduler was made: make it after adding groups");
        }
        for (int i = 0; i < next.length; i++) {
            next[i] = byClosedForm ? closedForm(epoch, i) : hyperparameter.get(groups.get(i));
        }
        if (!byClosedForm) {
            lrs(epoch, next);
        }
        for (int i = 0; i < next.length; i++) {
            if (Double.isNaN(next[i])) {
                throw PanoptimException.invalid(call("step"), "the learning rates of epoch " + epoch + " would be "
                        + Arrays.toString(next));
            }
            hyperparameter.check(groups.get(i), next[i]);
        }
        for (int i = 0; i < next.length; i++) {
            ParamGroup group = groups.get(i);
            if (initial && !group.fields().containsKey(initialField)) {
                group.field(initialField, baseLrs[i]);
            }
            hyperparameter.set(group, next[i]);
        }
        lastEpoch(epoch);
        noteLastLr();
        updated(epoch);
    }
}
