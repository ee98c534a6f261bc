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
 * @param p the norm's order: 1, 2 or infinity
 */
public record Reduction(Kind kind, int left, int right, double p) {
    private static final int NONE = -1;

    /** What can be computed; over no elements it is 0. */
    public enum Kind {
        /** The sum of the products. */
        DOT,
        /** The sum of the absolute values, the root of the sum of squares, or the absolute maximum: by the order p. */
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
        if (kind == Kind.NORM && p != 1 && p != 2 && p != Double.POSITIVE_INFINITY) {
            throw PanoptimException.unsupported("Reduction", "a norm of order p = " + p + ": there are those of 1, 2 and infinity");
        }
    }

    public static Reduction dot(int left, int right) {
        return new Reduction(Kind.DOT, left, right, 0);
    }

    public static Reduction norm(int column, double p) {
        return new Reduction(Kind.NORM, column, NONE, p);
    }

    public static Reduction absoluteMaximum(int column) {
        return new Reduction(Kind.ABSOLUTE_MAXIMUM, column, NONE, 0);
    }

    /** The columns that it works on, by bit. */
    public int columns() {
        return 1 << left | (kind == Kind.DOT ? 1 << right : 0);
    }
}
