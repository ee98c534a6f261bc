package io.panoptim.linalg;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Column;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Orthonormal columns of a batch of tall matrices by Cholesky QR: the factor Q of {@code A = Q R}, R with a positive diagonal. A pass is
 * {@code G = X^T X = R^T R, X = X R^-1}, of which the two products, on the longer side, are the engine's; the Cholesky factor of the
 * small G, with columns scaled to length 1, and its inverse are computed on the CPU in float64, one matrix after the other.
 *
 * <p>Two passes (CholeskyQR2: Fukaya, Nakatsukasa, Yanagisawa and Yamamoto, 2014) do for matrices of condition numbers up to about
 * u^(-1/4), u being 2^-24 in float32 and 2^-53 in float64. Where the factor is worse conditioned than that, or there is none, the diagonal
 * of G is raised first (shifted Cholesky QR: Fukaya, Kannan, Nakatsukasa, Yamamoto and Yanagisawa, 2020), by the factor 1 + u^(1/2)
 * and so by more than only Cholesky's success takes: for X is multiplied with an inverse, whose errors grow with that condition number. Passes
 * are repeated until G is the identity's neighbour, up to six in all. So columns are orthonormal up to the
 * rounding of sums of as many products as they have elements, whatever A, and their span is A's to about u^(3/4) times its condition number.
 *
 * <p>In the type of the matrices, float32 or float64. Refused, with the results left as they are: matrices that are not finite, and
 * those of which a column is, but for {@code 8 sqrt(columns) u} of its length, a combination of those before it.
 * {@link io.panoptim.engine.Decomposition#qr} takes these, too, by Householder's reflections.
 */
public final class CholeskyQR implements AutoCloseable {
    private static final String CALL = "CholeskyQR";
    /** Each divides condition numbers by u^(-1/4); two more than that takes. */
    private static final int MOST_PASSES = 8;
    /** Within this distance of the identity, in the Frobenius norm, a pass is the last one: its errors do not grow. */
    private static final double NEAR = 0.5;

    private final Engine engine;
    private final Matrices a;
    private final Matrices q;
    private final double unit;
    private final int size;
    private final Memory memory;
    private final Map<MatrixProduct, MatrixProduct.Plan> plans = new HashMap<>();
    private final Matrices gram;
    /** One that a pass reads, and one that it writes, unless that is the result. */
    private final List<Matrices> buffers;
    /** The small matrices on the CPU. */
    private final Tensor small;
    /** For each column of each matrix, how much of its length is outside the span of those before it, as the passes so far show. */
    private final double[] outside;

    /**
     * Prepares for a batch, with memory for twice as many matrices; nothing is computed yet.
     *
     * @param a the matrices, with no more columns than rows
     * @param q of the same shape, for results: the same matrices, or ones that do not overlap them
     */
    public CholeskyQR(Engine engine, Matrices a, Matrices q) {
        if (a.dtype() != DType.FLOAT32 && a.dtype() != DType.FLOAT64) {
            throw PanoptimException.unsupported(CALL, "matrices of " + a.dtype() + ": cast them to float32");
        }
        if (q.rows() != a.rows() || q.columns() != a.columns() || q.batch() != a.batch() || q.dtype() != a.dtype()) {
            throw PanoptimException.invalid(CALL, "the matrices are " + a + ", the memory for results " + q);
        }
        if (a.columns() > a.rows()) {
            throw PanoptimException.invalid(CALL, a + " has more columns than rows: transpose it");
        }
        this.engine = engine;
        this.a = a;
        this.q = q;
        this.unit = a.dtype() == DType.FLOAT32 ? 0x1p-24 : 0x1p-53;
        this.size = Math.toIntExact(a.columns());
        this.memory = engine.memory();
        this.outside = new double[Math.toIntExact(a.batch() * size)];
        long elements = Math.multiplyExact(a.batch(), (long) size * size);
        this.small = Tensor.zeros(Arena.ofAuto(), a.dtype(), elements);
        try {
            this.gram = Matrices.strided(memory.zeros(a.dtype(), elements), 0, a.batch(), size, size, Math.max(1, size), (long) size * size);
            this.buffers = List.of(buffer(), buffer());
            if (!a.isEmpty()) {
                planPasses();
            }
        } catch (RuntimeException | Error failed) {
            close();
            throw failed;
        }
    }

    private Matrices buffer() {
        long each = a.rows() * size;
        return Matrices.strided(memory.zeros(a.dtype(), a.batch() * each), 0, a.batch(), a.rows(), size, Math.max(1, size), each);
    }

    /** Of matrices that need not be scaled. */
    private void planPasses() {
        if (!q.equals(a)) {
            plan(new MatrixProduct(a, false, gram, false, a, q, false)); // refuses what overlaps
        }
        gramOf(a);
        product(a, buffers.get(0));
        for (int i = 0; i < 2; i++) {
            gramOf(buffers.get(i));
            product(buffers.get(i), buffers.get(1 - i));
            product(buffers.get(i), q);
        }
    }

    /**
     * Computes the results; done when it returns, but for the last product.
     *
     * @return how many passes it took, at least two
     */
    public int run(Stream stream) {
        if (a.isEmpty()) {
            return 0;
        }
        Matrices x = a;
        gramOf(x).run(1, 0, stream);
        engine.copy(gram.tensors().getFirst(), small, stream);
        if (!isInRange()) {
            x = scaled(stream);
            gramOf(x).run(1, 0, stream);
            engine.copy(gram.tensors().getFirst(), small, stream);
        }
        for (int pass = 1; pass <= MOST_PASSES; pass++) {
            boolean near = pass > 1;
            for (int i = 0; i < a.batch(); i++) {
                near &= factor(i, pass == 1);
            }
            engine.copy(small, gram.tensors().getFirst(), stream);
            Matrices to = near ? q : buffers.get(x.equals(buffers.get(0)) ? 1 : 0);
            product(x, to).run(1, 0, stream);
            if (near) {
                return pass;
            }
            x = to;
            gramOf(x).run(1, 0, stream);
            engine.copy(gram.tensors().getFirst(), small, stream);
        }
        throw PanoptimException.invalid(CALL, "the columns of " + a + " are not orthonormal after " + MOST_PASSES
                + " passes: use Engine.decompose");
    }

    /** The memory that it holds on the device. */
    public long workspaceBytes() {
        return memory.bytes();
    }

    private double inGram(long matrix, int row, int column) {
        return small.get((matrix * size + row) * size + column);
    }

    private boolean isInRange(double square) {
        double largest = a.dtype() == DType.FLOAT32 ? 0x1p100 : 0x1p900;
        return square > 1 / largest && square < largest;
    }

    /** Whether the squares of the columns' lengths are neither subnormal, nor nearly so, nor infinite. */
    private boolean isInRange() {
        for (long i = 0; i < a.batch(); i++) {
            for (int j = 0; j < size; j++) {
                if (!isInRange(inGram(i, j, j))) {
                    return false;
                }
            }
        }
        return true;
    }

    /** Copies of the matrices, the largest element of each between 1 and 2. */
    private Matrices scaled(Stream stream) {
        Matrices copies = buffers.get(0);
        plan(new MatrixProduct(a, false, gram, false, a, copies, false)).run(0, 1, stream);
        long each = a.rows() * size;
        for (long i = 0; i < a.batch(); i++) {
            Tensor copy = copies.tensors().getFirst().slice(i * each, each);
            double largest;
            try (Table table = engine.table(List.of(new TensorEntry("matrix " + i, copy, null, List.of(), 0)))) {
                largest = engine.reduce(table, Reduction.absoluteMaximum(Column.VALUE), stream).get();
            }
            if (!Double.isFinite(largest)) {
                throw PanoptimException.invalid(CALL, "matrix " + i + " has elements that are infinite or NaN");
            }
            if (largest > 0) {
                Matrices one = copies.part(i, 1);
                MatrixProduct scaling = new MatrixProduct(buffers.get(1).part(i, 1), false, gram.part(i, 1), false, one, one, false);
                for (int exponent = -Math.getExponent(largest); exponent != 0;) { // in steps that a factor can take
                    int step = Math.clamp(exponent, -100, 100);
                    plan(scaling).run(0, Math.scalb(1.0, step), stream);
                    exponent -= step;
                }
            }
        }
        return copies;
    }

    /**
     * Replaces the Gram matrix of a matrix by the inverse of its Cholesky factor, or refuses it.
     *
     * @return whether it was near the identity
     */
    private boolean factor(int matrix, boolean first) {
        int n = size;
        double[] lengths = new double[n];
        for (int j = 0; j < n; j++) {
            double square = inGram(matrix, j, j);
            if (!isInRange(square)) {
                throw dependent(matrix, j, 0);
            }
            lengths[j] = Math.sqrt(square);
        }
        double[] correlations = new double[n * n];
        double distance = 0;
        for (int i = 0; i < n; i++) {
            for (int j = i; j < n; j++) {
                double element = inGram(matrix, i, j);
                double difference = element - (i == j ? 1 : 0);
                distance += (i == j ? 1 : 2) * difference * difference;
                correlations[i * n + j] = i == j ? 1 : element / (lengths[i] * lengths[j]);
            }
        }
        double[] factor = correlations.clone();
        double[] inverse = new double[n * n];
        if (!cholesky(factor, n) || invert(factor, inverse, n) > Math.sqrt(n / Math.sqrt(unit))) {
            for (int i = 0; i < n; i++) {
                correlations[i * n + i] += Math.sqrt(unit);
            }
            factor = correlations;
            if (!cholesky(factor, n)) {
                throw PanoptimException.invalid(CALL, "the products of the columns of matrix " + matrix + " of " + a
                        + " have too large errors for a Cholesky factor: use Engine.decompose");
            }
            inverse = new double[n * n];
            invert(factor, inverse, n);
        }
        for (int j = 0; j < n; j++) {
            double part = factor[j * n + j];
            outside[matrix * n + j] = first ? part : outside[matrix * n + j] * part * lengths[j];
            if (outside[matrix * n + j] < 8 * Math.sqrt(n) * unit) {
                throw dependent(matrix, j, outside[matrix * n + j]);
            }
        }
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                small.set(((long) matrix * n + i) * n + j, j < i ? 0 : inverse[i * n + j] / lengths[i]);
            }
        }
        return distance <= NEAR * NEAR;
    }

    private PanoptimException dependent(int matrix, int column, double part) {
        return PanoptimException.invalid(CALL, "column " + column + " of matrix " + matrix + " of " + a + " is a linear combination of "
                + "those before it, or nearly so: only " + part + " of its length is outside their span; use Engine.decompose");
    }

    /**
     * The upper triangle R of {@code R^T R}, in place of the upper triangle of that.
     *
     * @return whether there is one
     */
    private static boolean cholesky(double[] matrix, int n) {
        for (int k = 0; k < n; k++) {
            double pivot = Math.sqrt(matrix[k * n + k]);
            if (!(pivot > 0)) {
                return false;
            }
            for (int j = k; j < n; j++) {
                matrix[k * n + j] /= pivot;
            }
            for (int i = k + 1; i < n; i++) {
                subtract(matrix[k * n + i], matrix, k * n + i, matrix, i * n + i, n - i);
            }
        }
        return true;
    }

    /**
     * The inverse of an upper triangle.
     *
     * @param inverse zeros
     * @return its Frobenius norm
     */
    private static double invert(double[] upper, double[] inverse, int n) {
        double squares = 0;
        for (int i = n - 1; i >= 0; i--) {
            inverse[i * n + i] = 1;
            for (int k = i + 1; k < n; k++) {
                subtract(upper[i * n + k], inverse, k * n + k, inverse, i * n + k, n - k);
            }
            for (int j = i; j < n; j++) {
                inverse[i * n + j] /= upper[i * n + i];
                squares += inverse[i * n + j] * inverse[i * n + j];
            }
        }
        return Math.sqrt(squares);
    }

    /** Subtracts a multiple of one row's elements from another's. */
    private static void subtract(double factor, double[] from, int first, double[] to, int start, int count) {
        for (int j = 0; j < count; j++) {
            to[start + j] -= factor * from[first + j];
        }
    }

    private MatrixProduct.Plan gramOf(Matrices x) {
        return plan(new MatrixProduct(x, true, x, false, gram, gram, true));
    }

    private MatrixProduct.Plan product(Matrices x, Matrices to) {
        return plan(new MatrixProduct(x, false, gram, false, to, to, false));
    }

    private MatrixProduct.Plan plan(MatrixProduct product) {
        return plans.computeIfAbsent(product, engine::matrixProduct);
    }

    /** Frees the plans and their memory; that of the matrices is the caller's. */
    @Override
    public void close() {
        plans.values().forEach(MatrixProduct.Plan::close);
        memory.close();
    }
}
