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
import java.util.stream.IntStream;
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

    private final Engine engine;
    private final Matrices x;
    private final Matrices y;
    private final boolean wide;
    private final boolean half;
    private final boolean gram;
    private final long together;
    private final Tensor scratch;
    /** Of all matrices, in order. */
    private List<MatrixProduct.Scaled> products = List.of();
    private MatrixProduct.@Nullable Sequence sequence;
    private List<Quintic> planned = List.of();
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
     * Where the results of these steps will be: x or y. Plans whatever these steps take, or refuses; only factors change where the steps
     * are as many as before, and segments as long.
     *
     * @param quintics the polynomials, in order
     */
    public Matrices prepare(List<Quintic> quintics) {
        if (sequence == null || !planned.equals(quintics)) {
            List<MatrixProduct.Scaled> before = products;
            products = new ArrayList<>();
            Matrices last = x;
            for (long first = 0; first < x.batch(); first += together) {
                long count = Math.min(together, x.batch() - first);
                boolean inY = plan(quintics, x.part(first, count), y.part(first, count));
                last = inY ? y : x;
            }
            scale(before);
            result = last;
            planned = List.copyOf(quintics);
        }
        return result;
    }

    /** Changes the factors of the planned products, or plans these. */
    private void scale(List<MatrixProduct.Scaled> before) {
        boolean same = sequence != null && before.size() == products.size()
                && IntStream.range(0, products.size()).allMatch(i -> before.get(i).product().equals(products.get(i).product()));
        if (!same) {
            close();
            sequence = engine.productSequence(products);
            return;
        }
        for (int i = 0; i < products.size(); i++) {
            MatrixProduct.Scaled each = products.get(i);
            if (!each.equals(before.get(i))) {
                Objects.requireNonNull(sequence).factors(i, each.alpha(), each.beta(), each.gamma());
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
     * Plans some matrices' steps.
     *
     * @return whether the results are in the second place rather than the first
     */
    private boolean plan(List<Quintic> quintics, Matrices one, Matrices other) {
        boolean inOther = false;
        for (int first = 0; first < quintics.size();) {
            int end = segment(quintics, first);
            Matrices from = inOther ? other : one;
            Matrices to = inOther ? one : other;
            if (half && end == first + 2) {
                planHalves(quintics.get(first), quintics.get(first + 1), from, to);
            } else if (half) {
                planHalf(quintics.get(first), from, to);
            } else {
                planSegment(quintics.subList(first, end), from, to);
            }
            inOther = !inOther;
            first = end;
        }
        return inOther;
    }

    /** R = X X^T, P = b R + c R^2 and X = a X + P X: rounding takes as much from the sum as from X itself, and not from a I + P. */
    private void planHalf(Quintic quintic, Matrices from, Matrices to) {
        Matrices r = buffer(0, from.batch());
        Matrices p = buffer(1, from.batch());
        add(new MatrixProduct(from, !wide, from, wide, r, r, true), 1, 0, 0);
        add(new MatrixProduct(r, false, r, true, r, p, true), quintic.c, quintic.b, 0);
        addLast(p, quintic.a, from, to);
    }

    /** R = X X^T and P = a I + b R + c R^2 of the first step; R = P R P, S = b R + c R^2 of the second; Q = (S + a I) P; X = Q X. */
    private void planHalves(Quintic first, Quintic second, Matrices from, Matrices to) {
        Matrices r = buffer(0, from.batch());
        Matrices p = buffer(1, from.batch());
        Matrices s = buffer(2, from.batch());
        double identity = first.a * second.a; // of Q, which is rounded without it
        add(new MatrixProduct(from, !wide, from, wide, r, r, true), 1, 0, 0);
        add(new MatrixProduct(r, false, r, true, r, p, true), first.c, first.b, first.a);
        add(new MatrixProduct(p, false, r, false, s, s, true), 1, 0, 0);
        add(new MatrixProduct(s, false, p, false, r, r, true), 1, 0, 0);
        add(new MatrixProduct(r, false, r, true, r, s, true), second.c, second.b, 0);
        add(new MatrixProduct(s, false, p, false, p, r, true), 1, second.a, -identity);
        addLast(r, identity, from, to);
    }

    /** X = a X + P X, or X = a X + X P. */
    private void addLast(Matrices p, double a, Matrices from, Matrices to) {
        add(wide ? new MatrixProduct(p, false, from, false, from, to, false) : new MatrixProduct(from, false, p, false, from, to, false),
                1, a, 0);
    }

    /** R = X X^T; for each step P = a I + b R + c R^2, Q = Q P and R = P R P; at the end X = Q X. On the right side if X is tall. */
    private void planSegment(List<Quintic> segment, Matrices from, Matrices to) {
        Matrices r = buffer(0, from.batch());
        Matrices q = buffer(1, from.batch());
        Matrices t = gram ? buffer(2, from.batch()) : q;
        Matrices p = gram ? buffer(3, from.batch()) : q;
        add(new MatrixProduct(from, !wide, from, wide, r, r, true), 1, 0, 0);
        for (int i = 0; i < segment.size(); i++) {
            Quintic quintic = segment.get(i);
            Matrices polynomial = i == 0 ? q : p;
            add(new MatrixProduct(r, false, r, true, r, polynomial, true), quintic.c, quintic.b, quintic.a);
            if (i + 1 < segment.size()) {
                add(new MatrixProduct(polynomial, false, r, false, t, t, true), 1, 0, 0);
                add(new MatrixProduct(t, false, polynomial, false, r, r, true), 1, 0, 0);
            }
            if (i > 0) {
                add(new MatrixProduct(q, false, p, false, t, t, true), 1, 0, 0);
                Matrices before = q;
                q = t;
                t = before;
            }
        }
        add(wide ? MatrixProduct.of(q, false, from, false, to) : MatrixProduct.of(from, false, q, false, to), 1, 0, 0);
    }

    private void add(MatrixProduct product, double alpha, double beta, double gamma) {
        products.add(new MatrixProduct.Scaled(product, alpha, beta, gamma));
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
