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
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Inverse p-th roots of a batch of symmetric positive definite matrices, {@code (A + ridge I)^(-1/p)}, by coupled Newton iterations, as
 * Shampoo needs them: {@code P = (1 + 1/p) I - M/p, X = X P, M = P^p M}, from {@code M = z (A + ridge I)} and {@code X = z^(1/p) I} with
 * {@code z = (p + 1) / (2 |A + ridge I|)}, as facebookresearch/optimizers has it (Guo and Higham, A Schur–Newton Method for the Matrix
 * p-th Root and its Inverse). It is all products of symmetric matrices, half of each of which is computed.
 *
 * <p>{@code M} goes to the identity, in the end quadratically; before that each iteration brings the smallest eigenvalue nearer by a factor of
 * {@code (1 + 1/p)^p}, so that condition numbers of 10^6 take about 15 iterations for p = 2. It ends when no element of {@code M} is
 * farther from the identity's than the tolerance, or when rounding keeps them from coming nearer than {@link #ROUNDING} in float32 and its square in
 * float64. The relative error of a result is about the resolution of the type times the condition number of {@code A + ridge I}.
 *
 * <p>In the type of the matrices, float32 or float64. Refused, with the results left as they are: matrices that are not finite, that have no
 * inverse root, since they are zero and so is the ridge, and those for which the iterations diverge or do not come to an end: they are
 * indefinite, singular, or too near to that for the ridge.
 *
 * @see <a href="https://github.com/facebookresearch/optimizers">facebookresearch/optimizers, matrix_functions.py</a>
 */
public final class InverseRoot implements AutoCloseable {
    /** How far from the identity float32's rounding may keep the iterations. */
    public static final double ROUNDING = 0x1p-10;

    private static final String CALL = "InverseRoot";

    private final Engine engine;
    private final Matrices a;
    private final Matrices result;
    private final int root;
    private final Memory memory;
    private final Map<MatrixProduct, MatrixProduct.Plan> plans = new HashMap<>();
    private final Matrices scaled;
    /** For each matrix the table of its memory in that place, and that of what remains of all. */
    private final List<Table> norms = new ArrayList<>();
    private final Table remainders;
    private Matrices x;
    private Matrices m;
    private Matrices nextX;
    private Matrices nextM;
    private final Matrices p;
    private Matrices power;
    private Matrices nextPower;

    /**
     * Prepares for a batch, with seven matrices of memory for each; nothing is computed yet.
     *
     * @param a square matrices, known to be symmetric
     * @param result of the same shape, and not overlapping them
     * @param root p, at least 1
     */
    public InverseRoot(Engine engine, Matrices a, Matrices result, int root) {
        if (a.dtype() != DType.FLOAT32 && a.dtype() != DType.FLOAT64) {
            throw PanoptimException.unsupported(CALL, "matrices of " + a.dtype() + ": cast them to float32");
        }
        if (a.rows() != a.columns() || result.rows() != a.rows() || result.columns() != a.columns() || result.batch() != a.batch()
                || result.dtype() != a.dtype()) {
            throw PanoptimException.invalid(CALL, "the matrices are " + a + ", the memory for results " + result + ": expected square "
                    + "matrices of one type, and as many results");
        }
        if (root < 1) {
            throw PanoptimException.invalid(CALL, "Invalid root: " + root + ": expected 1 or more");
        }
        this.engine = engine;
        this.a = a;
        this.result = result;
        this.root = root;
        if (!a.isEmpty()) {
            affine(a, result); // refuses what overlaps or cannot be reached, before anything is allocated
        }
        this.memory = engine.memory();
        x = buffer();
        m = buffer();
        scaled = m;
        nextX = buffer();
        nextM = buffer();
        p = buffer();
        power = buffer();
        nextPower = buffer();
        for (long i = 0; i < a.batch(); i++) {
            norms.add(engine.table(List.of(entry(m.tensors().getFirst().slice(i * size() * size(), size() * size())))));
        }
        remainders = engine.table(List.of(entry(p.tensors().getFirst())));
    }

    private long size() {
        return a.rows();
    }

    private Matrices buffer() {
        return Matrices.strided(memory.zeros(a.dtype(), a.batch() * size() * size()), 0, a.batch(), size(), size(), Math.max(1, size()),
                size() * size());
    }

    private static TensorEntry entry(Tensor tensor) {
        return new TensorEntry("matrices", tensor, null, List.of(), 0);
    }

    /**
     * Computes the roots.
     *
     * @param ridge added to the diagonals first, at least 0
     * @param tolerance how far elements of M may be from the identity's
     * @param maxIterations after which it gives up
     * @return how many iterations it took
     */
    public int run(double ridge, double tolerance, int maxIterations, Stream stream) {
        if (!(ridge >= 0) || !(tolerance >= 0)) {
            throw PanoptimException.invalid(CALL, "ridge is " + ridge + ", tolerance " + tolerance + ": expected them to be at least 0");
        }
        if (a.isEmpty()) {
            return 0;
        }
        begin(ridge, stream);
        double rounding = a.dtype() == DType.FLOAT64 ? ROUNDING * ROUNDING : ROUNDING;
        double before = Double.POSITIVE_INFINITY;
        for (int iteration = 0; iteration <= maxIterations; iteration++) {
            affine(m, p).run(0, 1, -1, stream);
            double error = engine.reduce(remainders, Reduction.absoluteMaximum(Column.VALUE), stream).get();
            if (error <= tolerance || error <= rounding && error >= before / 2) {
                affine(x, result).run(0, 1, stream);
                return iteration;
            }
            if (!Double.isFinite(error)) {
                throw failed("diverge", ridge);
            }
            before = error;
            iterate(stream);
        }
        throw failed("have not come to an end after " + maxIterations + " iterations, and are " + before + " off", ridge);
    }

    private PanoptimException failed(String how, double ridge) {
        return PanoptimException.invalid(CALL, "the iterations for the inverse root " + root + " of " + a + " " + how + ": one of the "
                + "matrices is indefinite, singular or nearly so; add more than " + ridge + " to the diagonals");
    }

    /** Scales each matrix by its own norm. */
    private void begin(double ridge, Stream stream) {
        if (m != scaled) {
            nextM = m;
            m = scaled;
        }
        affine(a, m).run(0, 1, ridge, stream);
        double[] scales = new double[norms.size()];
        for (int i = 0; i < scales.length; i++) {
            double norm = engine.reduce(norms.get(i), Reduction.norm(Column.VALUE, 2), stream).get();
            if (!Double.isFinite(norm)) {
                throw PanoptimException.invalid(CALL, "matrix " + i + " has elements that are infinite or NaN");
            }
            if (norm == 0) {
                throw PanoptimException.invalid(CALL, "matrix " + i + " is zero, and so is the ridge: there is no inverse root");
            }
            scales[i] = (root + 1) / (2 * norm);
        }
        affine(m, nextM).run(0, 1, stream);
        for (int i = 0; i < scales.length; i++) {
            affine(nextM.part(i, 1), m.part(i, 1)).run(0, scales[i], stream);
            affine(nextM.part(i, 1), x.part(i, 1)).run(0, 0, Math.pow(scales[i], 1.0 / root), stream);
        }
    }

    private void iterate(Stream stream) {
        affine(m, p).run(0, -1.0 / root, 1 + 1.0 / root, stream);
        multiply(x, p, nextX, stream);
        Matrices raised = raise(stream);
        multiply(raised, m, nextM, stream);
        Matrices before = x;
        x = nextX;
        nextX = before;
        before = m;
        m = nextM;
        nextM = before;
    }

    /** P to the power of the root, by squaring from the exponent's highest bit on. */
    private Matrices raise(Stream stream) {
        Matrices current = p;
        for (int bit = Integer.highestOneBit(root) >> 1; bit > 0; bit >>= 1) {
            current = product(current, current, stream);
            if ((root & bit) != 0) {
                current = product(current, p, stream);
            }
        }
        return current;
    }

    /** Into whichever of the two places for powers is free. */
    private Matrices product(Matrices left, Matrices right, Stream stream) {
        multiply(left, right, nextPower, stream);
        Matrices written = nextPower;
        nextPower = power;
        power = written;
        return written;
    }

    private void multiply(Matrices left, Matrices right, Matrices to, Stream stream) {
        plan(new MatrixProduct(left, false, right, false, to, to, true)).run(1, 0, stream);
    }

    /** A multiple of matrices plus one of the identity: the factor of the product, which is not computed, is 0. */
    private MatrixProduct.Plan affine(Matrices from, Matrices to) {
        return plan(new MatrixProduct(from, false, from, false, from, to, false));
    }

    private MatrixProduct.Plan plan(MatrixProduct product) {
        return plans.computeIfAbsent(product, engine::matrixProduct);
    }

    /** Frees the plans and their memory; that of the matrices is the caller's. */
    @Override
    public void close() {
        plans.values().forEach(MatrixProduct.Plan::close);
        norms.forEach(Table::close);
        remainders.close();
        memory.close();
    }
}
