package io.panoptim.engine;

import io.panoptim.PanoptimException;

/**
 * How a loss scale follows what is found, as in {@code torch.amp.GradScaler}.
 *
 * @param growthFactor by which the scale grows after {@code growthInterval} steps in a row without overflow; more than 1
 * @param backoffFactor by which it shrinks after an overflow; between 0 and 1
 * @param growthInterval at least 1
 * @param hysteresis how many overflows it takes, since the last step without one, until the scale shrinks: 1 in torch
 */
public record Scaling(double growthFactor, double backoffFactor, int growthInterval, int hysteresis) {
    public Scaling {
        if (!(growthFactor > 1) || growthFactor == Double.POSITIVE_INFINITY) {
            throw PanoptimException.invalid("Scaling", "The growth factor must be > 1.0, and finite; found " + growthFactor);
        }
        if (!(backoffFactor > 0) || !(backoffFactor < 1)) {
            throw PanoptimException.invalid("Scaling", "The backoff factor must be < 1.0, and more than 0; found " + backoffFactor);
        }
        if (growthInterval < 1 || hysteresis < 1) {
            throw PanoptimException.invalid("Scaling", "the growth interval and the hysteresis must be at least 1; found "
                    + growthInterval + " and " + hysteresis);
        }
    }

    /** Refuses a loss scale that is not a finite number more than 0. */
    public static void checkScale(String call, float scale) {
        if (!(scale > 0) || scale == Float.POSITIVE_INFINITY) {
            throw PanoptimException.invalid(call, "a loss scale of " + scale + ": expected a finite number more than 0");
        }
    }
}
