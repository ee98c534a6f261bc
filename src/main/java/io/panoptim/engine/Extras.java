package io.panoptim.engine;

import java.util.Arrays;

/**
 * What rides along with an update in the same pass over memory. Of a tensor it uses the columns that are there: the average, the copy.
 *
 * @param flags the parts, as bits; an engine refuses by name those it does not do
 * @param stochasticCopy whether {@link Part#COPY} rounds stochastically, to bfloat16
 */
public record Extras(int flags, boolean stochasticCopy) {
    /** Nothing. */
    public static final Extras NONE = new Extras(0, false);

    /** The parts, in the order of their bits in {@code kernels/table.h}. */
    public enum Part {
        /** Multiply the gradient by the inverse loss scale. */
        UNSCALE,
        /** Multiply the gradient by the clip coefficient, after that. */
        CLIP,
        /** Store the gradient that the update used. */
        WRITE_GRADIENT,
        /** Zero the gradient after its use, also when the step is skipped. */
        ZERO_GRADIENT,
        /** Update the exponential moving average of the value, with the weight in {@link Rows#average}. */
        AVERAGE,
        /** Write a low-precision copy of the value. */
        COPY,
        /** Store states below the smallest normal number of the compute type as zero. */
        FLUSH_SUBNORMAL,
        /**
         * Add up the squares of gradients, of the values' changes and of values over each class: {@link Table#statistics}. On CUDA that
         * takes a pass before the step and one after it, and memory for the values as they were.
         */
        STATISTICS,
        /** Leave everything as it is but for {@link #ZERO_GRADIENT} where an overflow was found. */
        SKIP,
        /** Round values of type bfloat16 stochastically where they have neither a master nor a compensation: by {@link Rows#noise}. */
        STOCHASTIC;

        /** The part's native flag. */
        public int flag() {
            return 1 << ordinal();
        }
    }

    /** These parts, with no parameters. */
    public static Extras of(Part... parts) {
        return NONE.with(parts);
    }

    /** The same with these parts. */
    public Extras with(Part... parts) {
        return new Extras(Arrays.stream(parts).mapToInt(Part::flag).reduce(flags, (a, b) -> a | b), stochasticCopy);
    }

    public boolean has(Part part) {
        return (flags & part.flag()) != 0;
    }

    /** Whether a control block is needed. */
    public boolean isControlled() {
        return has(Part.UNSCALE) || has(Part.CLIP) || has(Part.SKIP);
    }
}
