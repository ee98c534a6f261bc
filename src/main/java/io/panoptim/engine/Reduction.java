package io.panoptim.engine;

/**
 * A reduction over all elements of one or two columns of a table, independent of the order of its parts.
 *
 * @param kind what is computed
 * @param left a column
 * @param right the second column of a dot product
 * @param p the norm's order
 */
public record Reduction(Kind kind, int left, int right, double p) {
    /** What can be computed. */
    public enum Kind { DOT, NORM, ABSOLUTE_MAXIMUM }

    /** A result that can be read once its stream has come so far. */
    public interface Result {
        /** Waits for the device if need be. */
        double get();
    }
}
