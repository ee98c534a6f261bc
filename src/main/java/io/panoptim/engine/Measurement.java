package io.panoptim.engine;

import io.panoptim.PanoptimException;

/**
 * What is measured of gradients before they are used: whether all are finite, and their norm. From a maximum norm follows the
 * coefficient by which {@link Extras.Part#CLIP} multiplies them, as in {@code torch.nn.utils.clip_grad_norm_}, for each compute type in
 * that type: {@code (1 / (norm + 1e-6)) * maxNorm}, at most 1.
 *
 * @param p the norm's order: positive, or infinity
 * @param maxNorm or infinity where nothing is clipped
 * @param unscale whether it is the norm of the gradients times the inverse loss scale, rounded to the compute type
 * @param skips whether steps do not take place where a gradient is not finite, and so count as skipped
 */
public record Measurement(double p, double maxNorm, boolean unscale, boolean skips) {
    private static final double EPSILON = 1e-6;

    /** Refuses other orders, and maximum norms that are negative or NaN. */
    public Measurement {
        if (!(p > 0)) {
            throw PanoptimException.invalid("Measurement", "a norm of order " + p + ": expected a positive number, or infinity");
        }
        if (!(maxNorm >= 0)) {
            throw PanoptimException.invalid("Measurement", "a maximum norm of " + maxNorm + ": expected a number that is not negative");
        }
    }

    /** Whether there is a maximum norm. */
    public boolean clips() {
        return maxNorm != Double.POSITIVE_INFINITY;
    }

    /** The coefficient in one compute type; NaN for a norm that is NaN. */
    public double clip(Arithmetic arithmetic, double norm) {
        if (!clips()) {
            return 1;
        }
        double sum = arithmetic.add(arithmetic.round(norm), arithmetic.round(EPSILON));
        double coefficient = arithmetic.reciprocalTimes(sum, arithmetic.round(maxNorm));
        return coefficient > 1 ? 1 : coefficient;
    }
}
