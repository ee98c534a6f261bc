package io.panoptim.tools;

import io.panoptim.optim.Optimizer;
import io.panoptim.schedule.LRScheduler;
import io.panoptim.schedule.MultiStepLR;
import io.panoptim.schedule.StepLR;
import java.util.Iterator;
import java.util.List;
import java.util.function.BiFunction;

/**
 * A scheduler that the commands know by its name. A new one is a line in {@link #ALL}.
 *
 * @param name the class's name in torch
 * @param constructor makes one from torch's keyword arguments
 */
public record SchedulerKind(String name, BiFunction<Optimizer, JsonKeys, LRScheduler> constructor) {
    private static final List<SchedulerKind> ALL = List.of(
            new SchedulerKind("MultiStepLR", (optimizer, keys) ->
                    new MultiStepLR(optimizer, keys.integers("milestones"), keys.number("gamma", 0.1))),
            new SchedulerKind("StepLR", (optimizer, keys) ->
                    new StepLR(optimizer, keys.integer("step_size"), keys.number("gamma", 0.1))));

    /** All names, for help texts. */
    public static final class Names implements Iterable<String> {
        @Override
        public Iterator<String> iterator() {
            return ALL.stream().map(SchedulerKind::name).iterator();
        }
    }

    /** Attaches the scheduler that {@code keys} describe. */
    public static LRScheduler attach(Optimizer optimizer, JsonKeys keys) {
        String name = keys.text("name");
        SchedulerKind found = ALL.stream().filter(kind -> kind.name.equals(name)).findFirst().orElseThrow(() ->
                keys.refusal("no scheduler '" + name + "' in this version: it has "
                        + ALL.stream().map(SchedulerKind::name).toList()));
        LRScheduler scheduler = keys.located(() -> found.constructor.apply(optimizer, keys));
        if (keys.integer("last_epoch", -1) != -1) {
            throw keys.refusalOf("last_epoch", "expected -1, since a run begins at the first step");
        }
        keys.finish();
        return scheduler;
    }
}
