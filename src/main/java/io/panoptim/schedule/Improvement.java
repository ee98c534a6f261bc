package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.schedule.ReduceLROnPlateau.Mode;
import io.panoptim.schedule.ReduceLROnPlateau.ThresholdMode;

/** When a metric counts as better than the best so far. NaN never does. */
record Improvement(Mode mode, double threshold, ThresholdMode thresholdMode) {
    Improvement {
        if (Double.isNaN(threshold)) {
            throw PanoptimException.invalid("Improvement", "Invalid threshold: NaN");
        }
    }

    boolean isBetter(double metric, double best) {
        if (mode == Mode.MIN) {
            return metric < (thresholdMode == ThresholdMode.REL ? best * (1.0 - threshold) : best - threshold);
        }
        return metric > (thresholdMode == ThresholdMode.REL ? best * (threshold + 1.0) : best + threshold);
    }

    /** What every number is better than. */
    double worst() {
        return mode == Mode.MIN ? Double.POSITIVE_INFINITY : Double.NEGATIVE_INFINITY;
    }

    Improvement state(SchedulerState state) {
        return new Improvement(state.choice("mode", mode), state.number("threshold", threshold),
                state.choice("threshold_mode", thresholdMode));
    }
}
