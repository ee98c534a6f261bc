package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Schedulable;

/** Schedulers that watch a metric. */
abstract sealed class MetricScheduler extends LRScheduler permits ReduceLROnPlateau, GreedyLR {
    MetricScheduler(Schedulable scheduled) {
        super(scheduled);
        lastEpoch(0);
        noteLastLr();
    }

    /**
     * Looks at a metric, and sets the learning rates if it says so.
     *
     * @param metric the loss, say; NaN is never better than what was before
     */
    public final void step(double metric) {
        stepWithMetric(metric);
    }

    @Override
    public final boolean needsMetric() {
        return true;
    }

    @Override
    public final double closedForm(long epoch, int group) {
        throw PanoptimException.unsupported(call("closedForm"), "the learning rates follow from the metric: there is no closed form");
    }

    @Override
    final void advance() {
        throw new AssertionError("a metric is needed");
    }

    @Override
    final void restart() {
        throw new AssertionError("not part of a composite");
    }

    @Override
    final void initialStep() {
        throw new AssertionError("not part of a composite");
    }

    @Override
    final void startOver() {
        throw new AssertionError("not part of a composite");
    }
}
