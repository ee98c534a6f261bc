package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiPredicate;

/**
 * Products of row-major matrices, {@code D = alpha * op(A) * op(B) + beta * C}, of which an engine makes a plan once, to be run
 * any number of times. Half types accumulate in float32 and round once. A or B may be one matrix for the whole batch.
 *
 * <p>Where alpha is 0, A and B are not read, and where beta is 0, C is not: whatever is there, NaNs included, does not matter.
 *
 * @param a the matrices A
 * @param transposeA whether op(A) is A transposed
 * @param b the matrices B
 * @param transposeB whether op(B) is B transposed
 * @param c what is added to: D itself, or matrices that do not overlap D
 * @param d the result, which overlaps neither A nor B
 * @param symmetric whether the products and C are known to be symmetric: half of the result is then computed, and mirrored
 * @param tf32 whether float32 factors may be rounded to TF32, which has 10 bits behind the point, on devices that multiply these faster
 */
public record MatrixProduct(Matrices a, boolean transposeA, Matrices b, boolean transposeB, Matrices c, Matrices d,
                            boolean symmetric, boolean tf32) {
    private static final String CALL = "matmul";

    /** A prepared product. Its tensors must stay open as long as it is used. */
    public interface Plan extends AutoCloseable {
        /**
         * Runs the product.
         *
         * @param alpha factor of the products, rounded to the type that they are added up in
         * @param beta factor of C, likewise
         */
        default void run(double alpha, double beta, Stream stream) {
            run(alpha, beta, 0, stream);
        }

        /**
         * The same plus a multiple of the identity, as polynomials of matrices have one.
         *
         * @param gamma what is added to the elements on the diagonal, likewise
         */
        void run(double alpha, double beta, double gamma, Stream stream);

        /** Frees the plan, not the tensors; idempotent. */
        @Override
        void close();
    }

    /**
     * A product with its factors, rounded to the type that it is added up in.
     *
     * @param alpha of the products
     * @param beta of C
     * @param gamma of the identity, which is added
     */
    public record Scaled(MatrixProduct product, double alpha, double beta, double gamma) {}

    /** Some prepared products, one after the other. Their tensors must stay open as long as it is used. */
    public interface Sequence extends AutoCloseable {
        void run(Stream stream);

        /**
         * Gives a product other factors, from the next run on.
         *
         * @param index of the product in the sequence
         */
        void factors(int index, double alpha, double beta, double gamma);

        /** Frees the plans, not the tensors; idempotent. */
        @Override
        void close();
    }

    /** A range of memory, and the matrices that lie in it: of the result, or not. */
    private record Range(Object space, long begin, long end, Matrices matrices, boolean result) {
        /** Whether it overlaps another one of the same space. */
        boolean overlaps(Range other) {
            return begin < other.end && other.begin < end && !besides(other);
        }

        /** Blocks of columns of one larger matrix: their ranges overlap, their elements do not. */
        private boolean besides(Range other) {
            Matrices one = matrices;
            Matrices two = other.matrices;
            if (one.leading() != two.leading() || one.count() > 1 && !areColumns(one) || two.count() > 1 && !areColumns(two)) {
                return false;
            }
            long bytes = one.leading() * one.dtype().bytes();
            long between = Math.floorMod(other.begin - begin, bytes);
            return between >= width(one) && between + width(two) <= bytes;
        }

        private static long width(Matrices matrices) {
            return ((matrices.count() - 1) * matrices.stride() + matrices.columns()) * matrices.dtype().bytes();
        }
    }

    private static final Object NATIVE = new Object();

    /** Refuses shapes, types and devices that do not go together, and results that overlap what they are computed from. */
    public MatrixProduct {
        long rows = transposeA ? a.columns() : a.rows();
        long inner = transposeA ? a.rows() : a.columns();
        long columns = transposeB ? b.rows() : b.columns();
        if (inner != (transposeB ? b.columns() : b.rows()) || rows != d.rows() || columns != d.columns()
                || c.rows() != d.rows() || c.columns() != d.columns()) {
            throw PanoptimException.invalid(CALL, "shapes do not fit: " + a + (transposeA ? " transposed" : "") + " by " + b
                    + (transposeB ? " transposed" : "") + (c.equals(d) ? "" : " and " + c) + " into " + d);
        }
        long batch = d.batch();
        if (a.batch() != batch && a.batch() != 1 || b.batch() != batch && b.batch() != 1 || c.batch() != batch) {
            throw PanoptimException.invalid(CALL, "batches do not fit: " + a + " by " + b + (c.equals(d) ? "" : " and " + c) + " into "
                    + d + ": expected as many matrices everywhere, or one A or one B for all");
        }
        for (Matrices other : List.of(a, b, c)) {
            if (other.dtype() != d.dtype()) {
                throw PanoptimException.invalid(CALL, "types differ: " + a + " by " + b + " and " + c + " into " + d
                        + ": expected one type; cast the others first");
            }
            if (!other.device().equals(d.device())) {
                throw PanoptimException.invalid(CALL, other + " lies on " + other.device() + ", the result on " + d.device()
                        + ": copy it there first");
            }
        }
        if (symmetric && d.rows() != d.columns()) {
            throw PanoptimException.invalid(CALL, "a symmetric result is square, not " + d);
        }
        if (!d.isEmpty()) {
            checkOverlaps(a, b, c, d);
        }
    }

    /** A product in full precision. */
    public MatrixProduct(Matrices a, boolean transposeA, Matrices b, boolean transposeB, Matrices c, Matrices d, boolean symmetric) {
        this(a, transposeA, b, transposeB, c, d, symmetric, false);
    }

    /** The product {@code C = alpha * op(A) * op(B) + beta * C}, in place. */
    public static MatrixProduct of(Matrices a, boolean transposeA, Matrices b, boolean transposeB, Matrices c) {
        return new MatrixProduct(a, transposeA, b, transposeB, c, c, false);
    }

    /** The same product, with TF32 allowed or not. */
    public MatrixProduct withTf32(boolean allowed) {
        return new MatrixProduct(a, transposeA, b, transposeB, c, d, symmetric, allowed);
    }

    /** A, B, C and D. */
    public List<Matrices> operands() {
        return List.of(a, b, c, d);
    }

    /** The columns of op(A). */
    public long inner() {
        return transposeA ? a.rows() : a.columns();
    }

    private static void checkOverlaps(Matrices a, Matrices b, Matrices c, Matrices d) {
        if (d.count() > 1 && d.stride() < d.extent() && !areColumns(d)) {
            throw PanoptimException.invalid(CALL, "the matrices of the result overlap: they are " + d.stride()
                    + " elements apart, and each takes " + d.extent());
        }
        List<Range> results = ranges(d, true);
        if (anyOverlap(results, (one, two) -> true)) {
            throw PanoptimException.invalid(CALL, "two matrices of the result overlap");
        }
        checkApart("A", a, results);
        checkApart("B", b, results);
        if (!c.equals(d)) {
            checkApart("C", c, results);
        }
    }

    /** Whether matrices lie side by side, as columns of a larger one. */
    private static boolean areColumns(Matrices matrices) {
        return matrices.stride() >= matrices.columns()
                && (matrices.count() - 1) * matrices.stride() + matrices.columns() <= matrices.leading();
    }

    private static void checkApart(String name, Matrices matrices, List<Range> results) {
        if (matrices.isEmpty()) {
            return;
        }
        List<Range> both = ranges(matrices, false);
        both.addAll(results);
        if (anyOverlap(both, (one, two) -> one.result != two.result)) {
            throw PanoptimException.invalid(CALL, name + " overlaps the result: the result needs memory of its own"
                    + (name.equals("C") ? ", or is C itself" : ""));
        }
    }

    /** In time that grows with the number of ranges, as those that overlap others are few. */
    private static boolean anyOverlap(List<Range> ranges, BiPredicate<Range, Range> matter) {
        Map<Object, List<Range>> spaces = new IdentityHashMap<>();
        ranges.forEach(range -> spaces.computeIfAbsent(range.space, key -> new ArrayList<>()).add(range));
        for (List<Range> space : spaces.values()) {
            space.sort(Comparator.comparingLong(Range::begin));
            for (int i = 0; i < space.size(); i++) {
                Range one = space.get(i);
                for (int j = i + 1; j < space.size() && space.get(j).begin < one.end; j++) {
                    if (matter.test(one, space.get(j)) && one.overlaps(space.get(j))) {
                        return true;
                    }
                }
            }
        }
        return false;
    }

    private static List<Range> ranges(Matrices matrices, boolean result) {
        List<Range> ranges = new ArrayList<>();
        long elements = (matrices.count() - 1) * matrices.stride() + matrices.extent();
        for (Tensor tensor : matrices.tensors()) {
            Object space = tensor.device().kind() == Device.Kind.CPU ? tensor.segment().heapBase().orElse(NATIVE) : NATIVE;
            long begin = tensor.address() + matrices.offset() * tensor.dtype().bytes();
            ranges.add(new Range(space, begin, begin + elements * tensor.dtype().bytes(), matrices, result));
        }
        return ranges;
    }
}
