package io.panoptim.engine;

import java.util.Arrays;

/**
 * What rides along with an update in the same pass over memory.
 *
 * @param flags the parts, as bits; an engine refuses by name those it does not do yet
 * @param averageDecay the decay of {@link Part#AVERAGE}
 * @param stochasticCopy whether {@link Part#COPY} rounds stochastically
 */
public record Extras(int flags, double averageDecay, boolean stochasticCopy) {
    /** Nothing. */
    public static final Extras NONE = new Extras(0, 0, false);

    /** The parts, in the order of their bits in {@code kernels/table.h}. */
    public enum Part {
        /** Divide the gradient by the loss scale. */
        UNSCALE,
        /** Multiply the gradient by the clip coefficient. */
        CLIP,
        /** Store the gradient that the update used. */
        WRITE_GRADIENT,
        /** Zero the gradient after its use, also when the step is skipped. */
        ZERO_GRADIENT,
        /** Update the exponential moving average of the value. */
        AVERAGE,
        /** Write a low-precision copy of the value. */
        COPY,
        /** Flush stored states below the smallest normal number to zero. */
        FLUSH_SUBNORMAL,
        /** Gradient, update and value norms. */
        STATISTICS;

        /** The part's native flag. */
        public int flag() {
            return 1 << ordinal();
        }
    }

    /** These parts, with no parameters. */
    public static Extras of(Part... parts) {
        return new Extras(Arrays.stream(parts).mapToInt(Part::flag).reduce(0, (a, b) -> a | b), 0, false);
    }

    public boolean has(Part part) {
        return (flags & part.flag()) != 0;
    }
}
