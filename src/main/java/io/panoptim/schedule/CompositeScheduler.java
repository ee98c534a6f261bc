package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Hyperparameter;
import io.panoptim.optim.Schedulable;
import java.util.List;

/** Schedulers that let others set the learning rates. */
abstract sealed class CompositeScheduler extends LRScheduler permits SequentialLR, ChainedScheduler {
    final List<LRScheduler> schedulers;
    private boolean withinAnother;

    CompositeScheduler(Schedulable scheduled, List<? extends LRScheduler> schedulers) {
        super(scheduled);
        this.schedulers = List.copyOf(schedulers);
    }

    static void refusePlateaus(String name, List<? extends LRScheduler> schedulers) {
        for (int i = 0; i < schedulers.size(); i++) {
            if (schedulers.get(i).needsMetric()) {
                throw PanoptimException.invalid(name, name + " does not support `" + schedulers.get(i).getClass().getSimpleName()
                        + "` scheduler as it requires additional kwargs to be specified when calling `step`, but got one at index " + i
                        + " in the given schedulers sequence.");
            }
        }
    }

    static PanoptimException otherOptimizer(String name, LRScheduler scheduler, int index, Hyperparameter expected) {
        return PanoptimException.invalid(name, name + " expects all schedulers to belong to the same optimizer, but got scheduler "
                + scheduler.getClass().getSimpleName() + " at index " + index + " has " + scheduler.hyperparameter
                + ", which is different from " + expected + ".");
    }

    @Override
    void undo() {
        schedulers.forEach(LRScheduler::undo);
    }

    /** As in torch, where a composite begins within another by a step of its own. */
    @Override
    void initialStep() {
        withinAnother = true;
        advance();
    }

    final void partsState(SchedulerState state) {
        state.parts("_schedulers", schedulers);
        if (withinAnother) {
            state.constant("_step_count", 0L);
            state.constant("_is_initial", false);
        }
    }
}
