package io.panoptim.tools.train;

import io.panoptim.optim.Optimizer;
import io.panoptim.optim.ParamGroup;
import io.panoptim.schedule.LRScheduler;
import io.panoptim.tools.JsonKeys;
import io.panoptim.tools.SchedulerKind;
import io.panoptim.tools.train.Entrant.Choice;

/** Changes learning rates after each epoch: a scheduler, or a few lines in its place. */
interface Schedule {
    String NONE = "none";
    String MANUAL = "manual";

    /** After an epoch with this loss. */
    void step(double loss);

    /** The schedule of a choice. */
    static Schedule attach(Optimizer optimizer, Choice choice) {
        if (choice.text().equals(NONE)) {
            return loss -> {};
        }
        JsonKeys keys = choice.keys();
        return keys.text("name").equals(MANUAL) ? manual(optimizer, keys) : attach(SchedulerKind.attach(optimizer, keys));
    }

    private static Schedule attach(LRScheduler scheduler) {
        return scheduler::stepWithMetric;
    }

    /** Without a scheduler: a loop may change the learning rate of any group itself. */
    private static Schedule manual(Optimizer optimizer, JsonKeys keys) {
        long every = keys.integer("every");
        double factor = keys.number("factor");
        keys.finish();
        if (every < 1) {
            throw keys.refusalOf("every", every + ": at least 1 is needed");
        }
        long[] epochs = {0};
        return loss -> {
            if (++epochs[0] % every == 0) {
                for (ParamGroup group : optimizer.paramGroups()) {
                    group.lr(group.lr() * factor);
                }
            }
        };
    }
}
