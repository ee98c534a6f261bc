package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Hyperparameter;
import java.util.List;

/**
 * Steps several schedulers of an optimizer one after the other, as {@code torch.optim.lr_scheduler.ChainedScheduler}: each
 * goes on from what the one before has set. They may also schedule different hyperparameters, say the learning rate and the
 * weight decay; {@link #lastLr} is then the last one's.
 */
public final class ChainedScheduler extends CompositeScheduler {
    /** Takes schedulers over, all just made. */
    public ChainedScheduler(List<? extends LRScheduler> schedulers) {
        check(schedulers);
        super(schedulers.getLast().hyperparameter, schedulers);
        noteChained();
    }

    private static void check(List<? extends LRScheduler> schedulers) {
        if (schedulers.isEmpty()) {
            throw PanoptimException.invalid("ChainedScheduler",
                    "ChainedScheduler expects at least one scheduler to be chained, but got no scheduler.");
        }
        refusePlateaus("ChainedScheduler", schedulers);
        Hyperparameter first = schedulers.getFirst().hyperparameter;
        for (int i = 1; i < schedulers.size(); i++) {
            if (schedulers.get(i).hyperparameter.optimizer() != first.optimizer()) {
                throw otherOptimizer("ChainedScheduler", schedulers.get(i), i, first);
            }
        }
    }

    private void noteChained() {
        lastEpoch(schedulers.getFirst().lastEpoch());
        noteLastLr();
    }

    @Override
    void advance() {
        for (int i = 0; i < schedulers.size(); i++) {
            schedulers.get(i).advance();
        }
        noteChained();
    }

    @Override
    void undo() {
        super.undo();
        lastEpoch(schedulers.getFirst().lastEpoch());
    }

    @Override
    void restart() {
        schedulers.forEach(LRScheduler::setInitial);
        startOver();
    }

    @Override
    void startOver() {
        schedulers.forEach(LRScheduler::startOver);
        noteChained();
    }

    /**
     * The product of the closed forms over the initial learning rate, of the schedulers that set what the last one sets. It is
     * what the steps give where each of them multiplies; one that replaces the learning rate ends what was before it.
     */
    @Override
    public double closedForm(long epoch, int group) {
        double initial = field(groups.get(group), "initial_" + hyperparameter.name());
        double lr = initial;
        for (LRScheduler scheduler : schedulers) {
            if (scheduler.hyperparameter.isSame(hyperparameter)) {
                double alone = scheduler.closedForm(epoch, group);
                lr = scheduler.isChainable() && initial != 0 ? lr * (alone / initial) : alone;
            }
        }
        return lr;
    }

    @Override
    protected void state(SchedulerState state) {
        lastLrState(state);
        partsState(state);
        lastEpoch(schedulers.getFirst().lastEpoch());
    }

    @Override
    boolean isChainable() {
        return schedulers.stream().allMatch(LRScheduler::isChainable);
    }
}
