package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.ParamGroup;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Sets the learning rate of each group of an optimizer, once when it is made and then with each {@link #step()}, as
 * torch's class of this name: to the last bit of a double. A scheduler only writes scalars.
 */
public abstract class LRScheduler {
    private static final Logger LOGGER = System.getLogger(LRScheduler.class.getName());

    private final Optimizer optimizer;
    private final double[] baseLrs;
    private double[] lastLr = {};
    private long lastEpoch = -1;

    /** Attaches to an optimizer, whose present learning rates become the initial ones unless it has such already. */
    protected LRScheduler(Optimizer optimizer) {
        this.optimizer = optimizer;
        for (ParamGroup group : optimizer.paramGroups()) {
            if (group.initialLr().isEmpty()) {
                group.initialLr(group.lr());
            }
        }
        this.baseLrs = optimizer.paramGroups().stream().mapToDouble(group -> group.initialLr().orElseThrow()).toArray();
    }

    /**
     * Sets the learning rates of the next epoch. Call it after the optimizer's step.
     *
     * @throws PanoptimException when the optimizer's groups are no longer those that it was made for
     */
    public final void step() {
        if (lastEpoch == 0 && optimizer.steps() == 0) {
            LOGGER.log(Level.WARNING, "Detected call of `lr_scheduler.step()` before `optimizer.step()`: call them in the "
                    + "opposite order, or the first value of the learning rate schedule is skipped");
        }
        advance();
    }

    /** The learning rate of each group, as last set. */
    public final List<Double> lastLr() {
        return Arrays.stream(lastLr).boxed().toList();
    }

    /** How many times {@link #step()} was called. */
    public final long lastEpoch() {
        return lastEpoch;
    }

    /** The learning rate of a group at an epoch, given the one that is set now. */
    protected abstract double lr(long epoch, int group, double baseLr, double currentLr);

    /** The learning rate that the schedule alone gives a group at an epoch, whatever else has changed it. */
    public abstract double closedForm(long epoch, int group);

    /** The learning rate that a group started with. */
    protected final double baseLr(int group) {
        return baseLrs[group];
    }

    /** Sets the learning rates of epoch 0; the last thing a subclass's constructor does. */
    protected final void start() {
        advance();
    }

    private void advance() {
        List<ParamGroup> groups = optimizer.paramGroups();
        if (groups.size() != baseLrs.length) {
            throw PanoptimException.invalid(getClass().getSimpleName() + ".step", "the optimizer has " + groups.size()
                    + " groups, but had " + baseLrs.length + " when the scheduler was made: make it after adding groups");
        }
        double[] lrs = IntStream.range(0, groups.size())
                .mapToDouble(i -> lr(lastEpoch + 1, i, baseLrs[i], groups.get(i).lr())).toArray();
        if (Arrays.stream(lrs).anyMatch(Double::isNaN)) {
            throw PanoptimException.invalid(getClass().getSimpleName() + ".step", "the learning rates of epoch " + (lastEpoch + 1)
                    + " would be " + Arrays.toString(lrs));
        }
        lastEpoch++;
        lastLr = lrs;
        for (int i = 0; i < lrs.length; i++) {
            groups.get(i).lr(lrs[i]);
        }
    }
}
