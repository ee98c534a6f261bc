package io.panoptim.tools.replay;

import io.panoptim.PanoptimException;
import io.panoptim.schedule.LRScheduler;
import io.panoptim.tools.JsonKeys;
import java.util.List;
import java.util.function.Function;

/**
 * What a scheduler watches: the monitored value after each step.
 *
 * @param values in the order of the steps
 * @param refusal says where they were found, or should have been
 */
public record Metrics(List<Double> values, Function<String, PanoptimException> refusal) {
    /** The {@code metrics} of a configuration; none if it has no such key. */
    public static Metrics of(JsonKeys keys) {
        return new Metrics(keys.has("metrics") ? keys.numbers("metrics") : List.of(), message -> keys.refusalOf("metrics", message));
    }

    /** Refuses a scheduler that is to be stepped more often than there are values for it. */
    public void check(LRScheduler scheduler, long steps) {
        if (scheduler.needsMetric() && values.size() < steps) {
            throw refusal.apply(scheduler.getClass().getSimpleName() + " watches a value after each step: expected at least " + steps
                    + ", found " + values.size());
        }
    }

    /** Steps a scheduler after a step of the optimizer, counted from 0. */
    public void step(LRScheduler scheduler, int step) {
        if (scheduler.needsMetric()) {
            scheduler.stepWithMetric(values.get(step));
        } else {
            scheduler.step();
        }
    }
}
