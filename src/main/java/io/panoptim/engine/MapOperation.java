package io.panoptim.engine;

import io.panoptim.PanoptimException;

/**
 * An operation on each element of one column of a table: the separate form of what can ride along with an update. It is done in every
 * tensor that has the column and, where the kind has one, the source, whether it takes part in steps or not; others are left alone.
 *
 * <p>The arithmetic is that of the torch call named with each kind, in IEEE operations ({@code kernels/map.h}): in the tensor's compute
 * type, to which coefficients are rounded once, with one rounding to the target's type.
 *
 * @param kind what is done
 * @param target the column that is written, by its number in {@link Column}
 * @param source the column that is read, where the kind has one; any other number elsewhere
 * @param a first coefficient: factor, weight or lower bound
 * @param b second coefficient: upper bound
 */
public record MapOperation(Kind kind, int target, int source, double a, double b) {
    private static final int NONE = -1;

    /** With t the target's element and s the source's; the order is that of the native constants in {@code kernels/table.h}. */
    public enum Kind {
        /** {@code t = 0}. */
        ZERO(false),
        /** {@code t.mul_(a)}. */
        SCALE(false),
        /** {@code t.copy_(s)}: rounded to the target's type. */
        CAST(true),
        /** {@code t.lerp_(s, a)}. */
        LERP(true),
        /** {@code t.add_(s, alpha=a)}: {@code fma(a, s, t)}. */
        AXPY(true),
        /** {@code t.clamp_(a, b)}: a NaN stays one. */
        CLAMP(false);

        private final boolean hasSource;

        Kind(boolean hasSource) {
            this.hasSource = hasSource;
        }

        /** Whether it reads another column. */
        public boolean hasSource() {
            return hasSource;
        }
    }

    /** Refuses columns that do not exist or are one, and bounds that are NaN. */
    public MapOperation {
        Column.check("MapOperation", target);
        if (kind.hasSource) {
            Column.check("MapOperation", source);
            if (source == target) {
                throw PanoptimException.invalid("MapOperation", kind + " from the " + Column.name(source) + " to itself");
            }
        }
        if (kind == Kind.CLAMP && (Double.isNaN(a) || Double.isNaN(b))) {
            throw PanoptimException.invalid("MapOperation", "the bounds of CLAMP are " + a + " and " + b);
        }
    }

    public static MapOperation zero(int target) {
        return new MapOperation(Kind.ZERO, target, NONE, 0, 0);
    }

    public static MapOperation scale(int target, double factor) {
        return new MapOperation(Kind.SCALE, target, NONE, factor, 0);
    }

    public static MapOperation cast(int target, int source) {
        return new MapOperation(Kind.CAST, target, source, 0, 0);
    }

    public static MapOperation lerp(int target, int source, double weight) {
        return new MapOperation(Kind.LERP, target, source, weight, 0);
    }

    public static MapOperation axpy(int target, double factor, int source) {
        return new MapOperation(Kind.AXPY, target, source, factor, 0);
    }

    public static MapOperation clamp(int target, double lower, double upper) {
        return new MapOperation(Kind.CLAMP, target, NONE, lower, upper);
    }

    /** The columns that it works on, by bit. */
    public int columns() {
        return 1 << target | (kind.hasSource ? 1 << source : 0);
    }
}
