package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Schedulable;
import java.util.Arrays;
import java.util.List;

/**
 * One scheduler after another, as {@code torch.optim.lr_scheduler.SequentialLR}: each begins anew at its milestone, by its
 * closed form where torch has one. Unlike torch's it also takes a {@code SequentialLR} or {@link ChainedScheduler} in a later
 * place, which then begins as if just made.
 */
public final class SequentialLR extends CompositeScheduler {
    private long[] milestones;

    /**
     * Takes schedulers of one optimizer over, all just made.
     *
     * @param scheduled what they set
     * @param milestones the epochs at which the second and all further ones begin, in ascending order
     */
    public SequentialLR(Schedulable scheduled, List<? extends LRScheduler> schedulers, long... milestones) {
        check(scheduled, schedulers, milestones);
        super(scheduled, schedulers);
        this.milestones = milestones.clone();
        lastEpoch(lastEpoch() + 1);
        setInitial();
        undo();
        LRScheduler first = this.schedulers.get(Milestones.upTo(milestones, 0));
        first.initialStep();
        noteLastLr(first);
    }

    private static void check(Schedulable scheduled, List<? extends LRScheduler> schedulers, long[] milestones) {
        if (schedulers.isEmpty()) {
            throw PanoptimException.invalid("SequentialLR", "SequentialLR expects at least one scheduler, but got no scheduler.");
        }
        refusePlateaus("SequentialLR", schedulers);
        for (int i = 0; i < schedulers.size(); i++) {
            if (!schedulers.get(i).hyperparameter.isSame(scheduled.scheduled())) {
                throw otherOptimizer("SequentialLR", schedulers.get(i), i, scheduled.scheduled());
            }
        }
        if (milestones.length != schedulers.size() - 1) {
            throw PanoptimException.invalid("SequentialLR", "Sequential Schedulers expects number of schedulers provided to be one more "
                    + "than the number of milestone points, but got number of schedulers " + schedulers.size() + " and the number of "
                    + "milestones to be equal to " + milestones.length);
        }
        checkOrder(milestones);
    }

    private static void checkOrder(long[] milestones) {
        if (!Arrays.equals(milestones, Arrays.stream(milestones).sorted().toArray())) {
            throw PanoptimException.invalid("SequentialLR", "Invalid milestones: " + Arrays.toString(milestones)
                    + ", they must ascend");
        }
    }

    @Override
    void advance() {
        long epoch = lastEpoch() + 1;
        int index = Milestones.upTo(milestones, epoch);
        LRScheduler scheduler = schedulers.get(index);
        if (index > 0 && milestones[index - 1] == epoch) {
            scheduler.restart();
        } else {
            scheduler.advance();
        }
        lastEpoch(epoch);
        noteLastLr(scheduler);
    }

    @Override
    void restart() {
        setInitial();
        startOver();
    }

    @Override
    void startOver() {
        lastEpoch(0);
        LRScheduler first = schedulers.get(Milestones.upTo(milestones, 0));
        first.startOver();
        noteLastLr(first);
    }

    @Override
    public double closedForm(long epoch, int group) {
        int index = Milestones.upTo(milestones, epoch);
        return schedulers.get(index).closedForm(index == 0 ? epoch : epoch - milestones[index - 1], group);
    }

    @Override
    protected void state(SchedulerState state) {
        milestones = state.integers("_milestones", milestones);
        super.state(state);
        partsState(state);
        if (milestones.length != schedulers.size() - 1) {
            throw state.refusal("_milestones", "expected " + (schedulers.size() - 1) + ", found " + milestones.length);
        }
        checkOrder(milestones);
    }
}
