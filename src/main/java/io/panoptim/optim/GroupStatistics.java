package io.panoptim.optim;

/**
 * Norms over all parameters of a group that had a gradient in a step.
 *
 * @param group the parameters
 * @param gradientNorm of the gradients as the update used them, unscaled and clipped
 * @param updateNorm of what was added to the values
 * @param parameterNorm of the values after it
 */
public record GroupStatistics(ParamGroup group, double gradientNorm, double updateNorm, double parameterNorm) {
    static final int SUMS = 3;

    /** From sums of squares in this order. */
    static GroupStatistics of(ParamGroup group, double[] sums) {
        return new GroupStatistics(group, Math.sqrt(sums[0]), Math.sqrt(sums[1]), Math.sqrt(sums[2]));
    }
}
