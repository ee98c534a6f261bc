package io.panoptim.engine;

import io.panoptim.PanoptimException;

/**
 * A reduction over all elements of one or two columns of a table, in every tensor that has them, whether it takes part in steps or
 * not. The result has the same bits on every engine, whatever the order of the tensors, their slicing and the number of threads:
 * elements are widened to float64, and added up within fixed leaves and then exactly ({@code kernels/leaf.h}). So a product or a
 * square that overflows float64 makes the result infinite.
 *
 * @param kind what is computed
 * @param left a column, by its number in {@link Column}
 * @param right the second column of a dot product, which may be the same; any other number elsewhere
 * @param p the norm's order: positive, or infinity
 * @param factor by which elements are multiplied first, in the compute type
 */
public record Reduction(Kind kind, int left, int right, double p, double factor) {
    private static final int NONE = -1;

    /** What can be computed; over no elements it is 0. */
    public enum Kind {
        /** The sum of the products. */
        DOT,
        /**
         * The p-th root of the sum of the absolute values' p-th powers; with p = infinity the absolute maximum. A power is within one
         * unit in the last place, unless p is 1 or 2.
         */
        NORM,
        /** The largest absolute value; NaN if any element is. */
        ABSOLUTE_MAXIMUM
    }

    /** A result that can be read once its stream has come so far. */
    public interface Result {
        /** Waits for the device if need be. */
        double get();
    }

    /** Refuses columns that do not exist, and norms of other orders. */
    public Reduction {
        Column.check("Reduction", left);
        if (kind == Kind.DOT) {
            Column.check("Reduction", right);
        }
        if (kind == Kind.NORM && !(p > 0)) {
            throw PanoptimException.invalid("Reduction", "a norm of order p = " + p + ": expected a positive number, or infinity");
        }
    }

    public static Reduction dot(int left, int right) {
        return new Reduction(Kind.DOT, left, right, 0, 1);
    }

    public static Reduction norm(int column, double p) {
        return new Reduction(Kind.NORM, column, NONE, p, 1);
    }

    public static Reduction absoluteMaximum(int column) {
        return new Reduction(Kind.ABSOLUTE_MAXIMUM, column, NONE, 0, 1);
    }

    /** The same over elements that are multiplied by a factor first. */
    public Reduction times(double newFactor) {
        return new Reduction(kind, left, right, p, newFactor);
    }

    /** What has to be taken over all elements before {@link #finish}: a dot product, an absolute maximum, or a sum of powers. */
    public Reduction parts() {
        if (kind == Kind.NORM && p == 2) {
            return dot(left, left).times(factor);
        }
        return kind == Kind.NORM && p == Double.POSITIVE_INFINITY ? absoluteMaximum(left).times(factor) : this;
    }

    /** The result, from that of all parts. */
    double finish(double total) {
        if (kind != Kind.NORM || p == 1 || p == Double.POSITIVE_INFINITY) {
            return total;
        }
        return p == 2 ? Math.sqrt(total) : Arithmetic.FLOAT64.pow(total, 1 / p);
    }

    /** What two parts are together. */
    double join(double a, double b) {
        return kind == Kind.ABSOLUTE_MAXIMUM || kind == Kind.NORM && p == Double.POSITIVE_INFINITY ? Math.max(a, b) : a + b;
    }

    /** The columns that it works on, by bit. */
    public int columns() {
        return 1 << left | (kind == Kind.DOT ? 1 << right : 0);
    }
}
