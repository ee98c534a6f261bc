package io.panoptim.engine;

/**
 * An operation on each element of one column of a table: the separate form of what can ride along with an update.
 *
 * @param kind what is done
 * @param target the column that is written
 * @param source the column that is read, where the kind has one
 * @param a first coefficient: factor, weight or lower bound
 * @param b second coefficient: upper bound
 */
public record MapOperation(Kind kind, int target, int source, double a, double b) {
    /** With t the target's element and s the source's. */
    public enum Kind {
        /** {@code t = 0}. */
        ZERO,
        /** {@code t = t * a}. */
        SCALE,
        /** {@code t = s}, rounded to the target's type. */
        CAST,
        /** {@code t = lerp(t, s, a)}. */
        LERP,
        /** {@code t = t + a * s}. */
        AXPY,
        /** {@code t = min(max(t, a), b)}. */
        CLAMP
    }
}
