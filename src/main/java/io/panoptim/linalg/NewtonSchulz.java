package io.panoptim.linalg;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Stream;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Orthogonalization of a batch of matrices by Newton–Schulz iterations: each step is a polynomial,
 * {@code X = a X + b (X X^T) X + c (X X^T)^2 X}, which acts on the singular values alone and drives them towards 1. It is all matrix
 * products.
 *
 * <p>In the type of the matrices: float32, float64, or bfloat16 or float16, whose products add up in float32 and round once, as those
 * of torch's Muon do. Products on the shorter side are symmetric, and half of them is computed. Of matrices with a longer side, steps
 * are taken on the shorter one alone (the Gram form, Dao-AILab's gram-newton-schulz): the polynomials of the Gram matrix are multiplied
 * with each other, and with the matrix only at the end. Rounding errors of the smallest singular values grow in that; before they reach
 * 2^-9, the resolution of bfloat16, the Gram matrix is computed anew: of half types after two steps, which is about as exact as one by one.
 *
 * <p>Zero matrices stay zero, and a NaN or an infinity spreads over its own matrix and no other.
 */
public final class NewtonSchulz implements AutoCloseable {
    /**
     * The polynomial of one step, {@code a x + b x^3 + c x^5}.
     *
     * @param a of x
     * @param b of x^3
     * @param c of x^5
     */
    public record Quintic(double a, double b, double c) {
        /** Keller Jordan's, steep at 0: five steps take singular values from 0.01 on to between 0.68 and 1.21. */
        public static final Quintic KELLER = new Quintic(3.4445, -4.7750, 2.0315);
    }

    /** Of gram_newton_schulz/coefficients.py. */
    private static final List<Quintic> POLAR_EXPRESS = List.of(
            new Quintic(8.28721201814563, -23.595886519098837, 17.300387312530933),
            new Quintic(4.107059111542203, -2.9478499167379106, 0.5448431082926601),
            new Quintic(3.9486908534822946, -2.908902115962949, 0.5518191394370137),
            new Quintic(3.3184196573706015, -2.488488024314874, 0.51004894012372),
            new Quintic(2.300652019954817, -1.6689039845747493, 0.4188073119525673));
    /** Against values that rounding has raised above 1. */
    private static final double SAFETY = 1.05;

    private static final String CALL = "NewtonSchulz";

    /** From here on, longer side over shorter side, the Gram form takes fewer operations. */
    private static final double GRAM_RATIO = 1.25;
    private static final double LARGEST_ERROR = 0x1p-9;
    private static final int GRAM_BUFFERS = 4;

    /** D = alpha A B + beta C + gamma I: only what is planned anew is checked. */
    private record Operation(Matrices a, boolean transposeA, Matrices b, boolean transposeB, Matrices c, Matrices d, boolean symmetric,
                             double alpha, double beta, double gamma) {
        MatrixProduct.Scaled scaled() {
            return new MatrixProduct.Scaled(new MatrixProduct(a, transposeA, b, transposeB, c, d, symmetric), alpha, beta, gamma);
        }
    }

    private final Engine engine;
    private final Matrices x;
    private final Matrices y;
    private final boolean wide;
    private final boolean half;
    private final boolean gram;
    private final long together;
    private final Tensor scratch;
    /** The operations on some matrices last planned, in order; those on others are alike. */
    private final List<Operation> operations = new ArrayList<>();
    /** Those on all matrices. */
    private MatrixProduct.@Nullable Sequence sequence;
    private List<Quintic> planned = List.of();
    /** The steps' ends between which the Gram matrix serves: what determines the products, if not their factors. */
    private List<Integer> segments = List.of();
    private Matrices result;

    /**
     * Prepares for a batch; nothing is computed yet.
     *
     * @param x the matrices, overwritten by a run
     * @param y of the same shape, for results
     * @param scratch at least {@link #scratchElements} elements of the same type, overwritten
     */
    public NewtonSchulz(Engine engine, Matrices x, Matrices y, Tensor scratch) {
        if (y.rows() != x.rows() || y.columns() != x.columns() || y.batch() != x.batch() || y.dtype() != x.dtype()) {
            throw PanoptimException.invalid(CALL, "the matrices are " + x + ", the memory for results " + y);
        }
        this.engine = engine;
        this.x = x;
        this.y = y;
        this.result = x;
        this.wide = x.rows() <= x.columns();
        this.half = isHalf(x.dtype());
        this.gram = isGram(x.rows(), x.columns());
        this.together = together(engine, x.dtype(), x.batch(), x.rows(), x.columns());
        this.scratch = scratch;
        buffer(0, together);
        buffer(buffers(gram) - 1, together);
    }

    /** How much scratch memory a batch takes. */
    public static long scratchElements(Engine engine, DType dtype, long batch, long rows, long columns) {
        long size = Math.min(rows, columns);
        return buffers(isGram(rows, columns)) * together(engine, dtype, batch, rows, columns) * size * size;
    }

    /** How many matrices take all steps before the next ones take over their buffers. */
    private static long together(Engine engine, DType dtype, long batch, long rows, long columns) {
        long size = Math.min(rows, columns);
        long elements = 2 * rows * columns + buffers(isGram(rows, columns)) * size * size;
        return Math.min(batch, engine.productBatch(elements * dtype.bytes()));
    }

    private static boolean isHalf(DType dtype) {
        return dtype == DType.BFLOAT16 || dtype == DType.FLOAT16;
    }

    private static boolean isGram(long rows, long columns) {
        return Math.max(rows, columns) >= GRAM_RATIO * Math.min(rows, columns);
    }

    private static int buffers(boolean gram) {
        return gram ? GRAM_BUFFERS : 2;
    }

    /** Square matrices on the shorter side. */
    private Matrices buffer(int index, long count) {
        long size = Math.min(x.rows(), x.columns());
        return Matrices.strided(scratch, index * together * size * size, count, size, size, Math.max(1, size), size * size);
    }

    /** Steps with the same coefficients each. */
    public static List<Quintic> repeated(Quintic quintic, int steps) {
        return Collections.nCopies(steps, quintic);
    }

    /**
     * The Polar Express (Amsel, Persson, Musco and Gower, 2025): coefficients that differ from step to step, so that five
     * steps take singular values from 0.005 on to between 0.84 and 1.13, eight to 1.03 and 1.08; further steps repeat the last one.
     */
    public static List<Quintic> polarExpress(int steps) {
        List<Quintic> quintics = new ArrayList<>();
        for (int i = 0; i < steps; i++) {
            Quintic quintic = POLAR_EXPRESS.get(Math.min(i, POLAR_EXPRESS.size() - 1));
            quintics.add(new Quintic(quintic.a / SAFETY, quintic.b / Math.pow(SAFETY, 3), quintic.c / Math.pow(SAFETY, 5)));
        }
        return quintics;
    }

    /**
     * Where the results of these steps will be: x or y. Plans whatever these steps take, or refuses; where they are as many as before, and
     * need a new Gram matrix as often, only factors change.
     *
     * @param quintics the polynomials, in order
     */
    public Matrices prepare(List<Quintic> quintics) {
        if (sequence == null || !planned.equals(quintics)) {
            List<Integer> ends = segments(quintics);
            if (sequence != null && ends.equals(segments)) {
                scale(sequence, quintics, ends);
            } else {
                close();
                sequence = plan(quintics, ends);
                segments = ends;
                result = ends.size() % 2 == 0 ? x : y;
            }
            planned = List.copyOf(quintics);
        }
        return result;
    }

    private MatrixProduct.Sequence plan(List<Quintic> quintics, List<Integer> ends) {
        List<MatrixProduct.Scaled> products = new ArrayList<>();
        for (long first = 0; first < x.batch(); first += together) {
            plan(quintics, ends, first);
            operations.forEach(operation -> products.add(operation.scaled()));
        }
        return engine.productSequence(products);
    }

    private void scale(MatrixProduct.Sequence scaled, List<Quintic> quintics, List<Integer> ends) {
        plan(quintics, ends, 0);
        int index = 0;
        for (long first = 0; first < x.batch(); first += together) {
            for (Operation operation : operations) {
                scaled.factors(index++, operation.alpha, operation.beta, operation.gamma);
            }
        }
    }

    /**
     * Carries the steps out.
     *
     * @return where the results are
     */
    public Matrices run(List<Quintic> quintics, Stream stream) {
        Matrices prepared = prepare(quintics);
        Objects.requireNonNull(sequence).run(stream);
        return prepared;
    }

    /** Where the Gram matrix is computed anew, and at the end. */
    private List<Integer> segments(List<Quintic> quintics) {
        List<Integer> ends = new ArrayList<>();
        for (int first = 0; first < quintics.size(); first = ends.getLast()) {
            ends.add(segment(quintics, first));
        }
        return ends;
    }

    /** Up to which step the Gram matrix of one step serves: of half types, for which two steps' rounding is as much as in X, for two. */
    private int segment(List<Quintic> quintics, int first) {
        int end = first + 1;
        if (half) {
            return gram ? Math.min(first + 2, quintics.size()) : end;
        }
        double error = x.dtype() == DType.FLOAT32 ? 0x1p-24 : 0x1p-53;
        while (gram && end < quintics.size()) {
            double growth = quintics.get(end - 1).a;
            error *= growth * growth;
            Quintic next = quintics.get(end);
            if (error * Math.abs(next.b) > LARGEST_ERROR * Math.abs(next.a)) {
                break;
            }
            end++;
        }
        return end;
    }

    /**
     * Plans the steps of the matrices from one on that take them together, to and fro between their two places.
     *
     * @param ends of the segments
     */
    private void plan(List<Quintic> quintics, List<Integer> ends, long firstMatrix) {
        operations.clear();
        long count = Math.min(together, x.batch() - firstMatrix);
        Matrices from = x.part(firstMatrix, count);
        Matrices to = y.part(firstMatrix, count);
        int first = 0;
        for (int end : ends) {
            if (half && end == first + 2) {
                planHalves(quintics.get(first), quintics.get(first + 1), from, to);
            } else if (half) {
                planHalf(quintics.get(first), from, to);
            } else {
                planSegment(quintics.subList(first, end), from, to);
            }
            Matrices before = from;
            from = to;
            to = before;
            first = end;
        }
    }

    /** R = X X^T, P = b R + c R^2 and X = a X + P X: rounding takes as much from the sum as from X itself, and not from a I + P. */
    private void planHalf(Quintic quintic, Matrices from, Matrices to) {
        Matrices r = buffer(0, from.batch());
        Matrices p = buffer(1, from.batch());
        add(from, !wide, from, wide, r, r, true, 1, 0, 0);
        add(r, false, r, true, r, p, true, quintic.c, quintic.b, 0);
        addLast(p, quintic.a, from, to);
    }

    /** R = X X^T and P = a I + b R + c R^2 of the first step; R = P R P, S = b R + c R^2 of the second; Q = (S + a I) P; X = Q X. */
    private void planHalves(Quintic first, Quintic second, Matrices from, Matrices to) {
        Matrices r = buffer(0, from.batch());
        Matrices p = buffer(1, from.batch());
        Matrices s = buffer(2, from.batch());
        double identity = first.a * second.a; // of Q, which is rounded without it
        add(from, !wide, from, wide, r, r, true, 1, 0, 0);
        add(r, false, r, true, r, p, true, first.c, first.b, first.a);
        add(p, false, r, false, s, s, true, 1, 0, 0);
        add(s, false, p, false, r, r, true, 1, 0, 0);
        add(r, false, r, true, r, s, true, second.c, second.b, 0);
        add(s, false, p, false, p, r, true, 1, second.a, -identity);
        addLast(r, identity, from, to);
    }

    /** X = a X + P X, or X = a X + X P. */
    private void addLast(Matrices p, double a, Matrices from, Matrices to) {
        add(wide ? p : from, false, wide ? from : p, false, from, to, false, 1, a, 0);
    }

    /** R = X X^T; for each step P = a I + b R + c R^2, Q = Q P and R = P R P; at the end X = Q X. On the right side if X is tall. */
    private void planSegment(List<Quintic> segment, Matrices from, Matrices to) {
        Matrices r = buffer(0, from.batch());
        Matrices q = buffer(1, from.batch());
        Matrices t = gram ? buffer(2, from.batch()) : q;
        Matrices p = gram ? buffer(3, from.batch()) : q;
        add(from, !wide, from, wide, r, r, true, 1, 0, 0);
        for (int i = 0; i < segment.size(); i++) {
            Quintic quintic = segment.get(i);
            Matrices polynomial = i == 0 ? q : p;
            add(r, false, r, true, r, polynomial, true, quintic.c, quintic.b, quintic.a);
            if (i + 1 < segment.size()) {
                add(polynomial, false, r, false, t, t, true, 1, 0, 0);
                add(t, false, polynomial, false, r, r, true, 1, 0, 0);
            }
            if (i > 0) {
                add(q, false, p, false, t, t, true, 1, 0, 0);
                Matrices before = q;
                q = t;
                t = before;
            }
        }
        add(wide ? q : from, false, wide ? from : q, false, to, to, false, 1, 0, 0);
    }

    private void add(Matrices a, boolean transposeA, Matrices b, boolean transposeB, Matrices c, Matrices d, boolean symmetric,
                     double alpha, double beta, double gamma) {
        operations.add(new Operation(a, transposeA, b, transposeB, c, d, symmetric, alpha, beta, gamma));
    }

    /** Frees the plans; the memory is the caller's. */
    @Override
    public void close() {
        if (sequence != null) {
            sequence.close();
            sequence = null;
        }
    }
}
