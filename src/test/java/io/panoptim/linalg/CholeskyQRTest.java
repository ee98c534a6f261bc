package io.panoptim.linalg;

import static io.panoptim.linalg.DecompositionTest.assertOrthonormal;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.RandomTensors;
import io.panoptim.ScarceEngine;
import io.panoptim.TestEngines;
import io.panoptim.engine.Decomposition;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.Stream;
import io.panoptim.engine.cuda.CudaEngine;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Cholesky QR by its definition, and against Householder's reflections, on every engine that multiplies. */
@Tag("native")
class CholeskyQRTest extends RandomTensors {
    private static final int[][] SHAPES = {{1, 1}, {3, 3}, {5, 2}, {40, 40}, {97, 13}, {700, 1}, {6000, 5}};

    static List<Engine> engines() {
        return TestEngines.multiplying();
    }

    private static double unit(DType dtype) {
        return dtype == DType.FLOAT32 ? 0x1p-24 : 0x1p-53;
    }

    @ParameterizedTest
    @MethodSource("engines")
    void columnsAreHouseholdersUpToTheirSigns(Engine engine) {
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64)) {
            for (int[] shape : SHAPES) {
                int rows = shape[0];
                int columns = shape[1];
                Tensor a = conditioned(dtype, 2, rows, columns, 10);
                Tensor q = Tensor.zeros(arena, dtype, 2, rows, columns);
                try (CholeskyQR qr = new CholeskyQR(engine, Matrices.of(a), Matrices.of(q))) {
                    assertEquals(2, qr.run(Stream.DEFAULT), "CholeskyQR2");
                    double[] once = values(q);
                    assertEquals(2, qr.run(Stream.DEFAULT));
                    assertArrayEquals(once, values(q), "every run has the same bits");
                    try (CholeskyQR inPlace = new CholeskyQR(engine, Matrices.of(a), Matrices.of(a))) {
                        double[][][] expected = {householder(a, 0, rows, columns), householder(a, 1, rows, columns)};
                        inPlace.run(Stream.DEFAULT);
                        assertArrayEquals(once, values(a), "in place, too");
                        for (int i = 0; i < 2; i++) {
                            double[][] found = read(q, i, rows, columns);
                            assertOrthonormal(found, (20 + Math.sqrt(rows)) * unit(dtype));
                            for (int r = 0; r < rows; r++) {
                                assertArrayEquals(expected[i][r], found[r], 1000 * unit(dtype));
                            }
                        }
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void illConditionedMatricesTakeMorePasses(Engine engine) {
        int rows = 300;
        int columns = 20;
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64)) {
            int before = 2;
            for (double condition : dtype == DType.FLOAT32 ? new double[] {10, 1e3, 1e5} : new double[] {10, 1e6, 1e10, 1e13}) {
                Tensor a = conditioned(dtype, 2, rows, columns, condition);
                for (int r = 0; r < rows; r++) { // columns of very different lengths are no harder
                    for (int c = 0; c < columns; c++) {
                        long at = ((long) rows + r) * columns + c;
                        a.set(at, Math.scalb(a.get(at), 2 * c - columns));
                    }
                }
                Tensor q = Tensor.zeros(arena, dtype, 2, rows, columns);
                try (CholeskyQR qr = new CholeskyQR(engine, Matrices.of(a), Matrices.of(q))) {
                    int passes = qr.run(Stream.DEFAULT);
                    assertTrue(passes >= before && passes <= 6, passes + " passes for " + condition + " in " + dtype);
                    before = passes;
                }
                for (int i = 0; i < 2; i++) {
                    double[][] found = read(q, i, rows, columns);
                    assertOrthonormal(found, (20 + Math.sqrt(rows)) * unit(dtype));
                    assertSpan(read(a, i, rows, columns), found, 50 * Math.pow(unit(dtype), 0.75), dtype + ", condition " + condition);
                }
            }
            assertTrue(before >= 3, before + " passes for the worst in " + dtype);
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void theLargestAndSmallestNumbersAreScaled(Engine engine) {
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64)) {
            int most = dtype == DType.FLOAT32 ? 120 : 1000;
            Tensor a = conditioned(dtype, 3, 30, 4, 5);
            double[][][] expected = new double[3][][];
            for (int i = 0; i < 3; i++) {
                expected[i] = householder(a, i, 30, 4);
                for (int j = 0; j < 120; j++) {
                    a.set(i * 120 + j, Math.scalb(a.get(i * 120 + j), (i - 1) * most));
                }
            }
            Tensor q = Tensor.zeros(arena, dtype, 3, 30, 4);
            try (CholeskyQR qr = new CholeskyQR(engine, Matrices.of(a), Matrices.of(q))) {
                assertEquals(2, qr.run(Stream.DEFAULT));
            }
            for (int i = 0; i < 3; i++) {
                for (int r = 0; r < 30; r++) {
                    assertArrayEquals(expected[i][r], read(q, i, 30, 4)[r], (i == 0 ? 1e5 : 100) * unit(dtype)); // the first have lost bits
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void matricesWithinLargerOnes(Engine engine) {
        Tensor memory = Tensor.zeros(arena, DType.FLOAT32, 2, 50, 9);
        Tensor a = conditioned(DType.FLOAT32, 2, 50, 6, 4);
        for (int r = 0; r < 100; r++) {
            for (int c = 0; c < 9; c++) {
                memory.set(r * 9 + c, c < 6 ? a.get(r * 6 + c) : Double.NaN);
            }
        }
        Matrices within = Matrices.strided(memory, 0, 2, 50, 6, 9, 450);
        try (CholeskyQR qr = new CholeskyQR(engine, within, within); CholeskyQR alone = new CholeskyQR(engine, Matrices.of(a), Matrices.of(a))) {
            qr.run(Stream.DEFAULT);
            alone.run(Stream.DEFAULT);
        }
        for (int r = 0; r < 100; r++) {
            for (int c = 0; c < 9; c++) {
                assertEquals(c < 6 ? a.get(r * 6 + c) : Double.NaN, memory.get(r * 9 + c), 1e-6);
            }
        }
    }

    @Test
    void onADevice() {
        CudaEngine cuda = TestEngines.cuda();
        Tensor a = conditioned(DType.FLOAT32, 2, 90, 7, 4);
        double[][][] expected = {householder(a, 0, 90, 7), householder(a, 1, 90, 7)};
        try (Memory memory = cuda.memory()) {
            Tensor there = memory.zeros(DType.FLOAT32, 2, 90, 7);
            cuda.copy(a, there, Stream.DEFAULT);
            try (CholeskyQR qr = new CholeskyQR(cuda, Matrices.of(there), Matrices.of(there))) {
                assertEquals(2, qr.run(Stream.DEFAULT));
            }
            cuda.copy(there, a, Stream.DEFAULT);
        }
        for (int i = 0; i < 2; i++) {
            for (int r = 0; r < 90; r++) {
                assertArrayEquals(expected[i][r], read(a, i, 90, 7)[r], 1e-5);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void whatHasNotFullRankIsRefusedAndResultsStay(Engine engine) {
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64)) {
            Tensor a = conditioned(dtype, 2, 60, 8, 4);
            double[] full = values(a);
            refused(engine, a, "matrix 1 has elements that are infinite or NaN", 60 * 8 + 3, Double.NaN);
            refused(engine, a, "matrix 1 has elements that are infinite or NaN", 60 * 8 + 3, Double.NEGATIVE_INFINITY);
            for (int j = 0; j < 60; j++) {
                a.set(j * 8 + 5, 0);
            }
            refused(engine, a, "column 5 of matrix 0 of " + Matrices.of(a) + " is a linear combination", 5, 0);
            for (int j = 0; j < 60; j++) {
                a.set(j * 8 + 5, 3 * full[j * 8] - full[j * 8 + 2] / 7);
            }
            refused(engine, a, "column 5 of matrix 0 of " + Matrices.of(a) + " is a linear combination", 5, a.get(5));
            for (int j = 0; j < 60; j++) {
                a.set(j * 8 + 5, a.get(j * 8));
            }
            refused(engine, a, "column 5 of matrix 0 of " + Matrices.of(a) + " is a linear combination", 5, a.get(5));
            for (int j = 0; j < 480; j++) {
                a.set(480 + j, 0);
            }
            for (int j = 0; j < 480; j++) {
                a.set(j, full[j]);
            }
            refused(engine, a, "column 0 of matrix 1 of " + Matrices.of(a) + " is a linear combination", 480, 0);
        }
    }

    private void refused(Engine engine, Tensor a, String message, long at, double value) {
        double before = a.get(at);
        a.set(at, value);
        Tensor q = Tensor.zeros(arena, a.dtype(), 2, 60, 8);
        q.set(7, 7);
        try (CholeskyQR qr = new CholeskyQR(engine, Matrices.of(a), Matrices.of(q))) {
            PanoptimException refused = assertThrows(PanoptimException.class, () -> qr.run(Stream.DEFAULT));
            assertTrue(refused.getMessage().startsWith("CholeskyQR: " + message), refused.getMessage());
            assertEquals(Code.INVALID, refused.code());
            assertEquals(7, q.get(7));
            assertEquals(0, q.get(8));
        }
        a.set(at, before);
    }

    @ParameterizedTest
    @MethodSource("engines")
    void shapesAndTypesThatDoNotGoTogether(Engine engine) {
        for (long[] empty : new long[][] {{0, 5, 2}, {3, 0, 0}, {3, 5, 0}}) {
            Matrices none = Matrices.of(Tensor.zeros(arena, DType.FLOAT32, empty));
            try (CholeskyQR qr = new CholeskyQR(engine, none, none)) {
                assertEquals(0, qr.run(Stream.DEFAULT));
            }
        }
        Tensor memory = Tensor.zeros(arena, DType.FLOAT32, 30);
        Matrices tall = Matrices.strided(memory, 0, 1, 5, 2, 2, 0);
        Matrices wide = Matrices.strided(memory, 0, 1, 2, 5, 5, 0);
        Matrices half = Matrices.of(Tensor.zeros(arena, DType.BFLOAT16, 5, 2));
        Matrices overlapping = Matrices.strided(memory, 2, 1, 5, 2, 2, 0);
        assertEquals(Code.UNSUPPORTED, assertThrows(PanoptimException.class, () -> new CholeskyQR(engine, half, half)).code());
        for (Matrices[] pair : new Matrices[][] {{wide, wide}, {tall, wide}, {tall, half}, {tall, overlapping}}) {
            assertEquals(Code.INVALID, assertThrows(PanoptimException.class, () -> new CholeskyQR(engine, pair[0], pair[1])).code());
        }
    }

    /** What is missing is missing before the first run: all passes have their memory and plans from the beginning. */
    @Test
    void whatFailsInTheBeginningIsFreed() {
        Matrices a = Matrices.of(conditioned(DType.FLOAT32, 2, 300, 20, 1e5));
        ScarceEngine scarce = new ScarceEngine(TestEngines.reference());
        int allocations = 0;
        for (boolean failed = true; failed; allocations++) {
            scarce.failAfter(allocations);
            try (CholeskyQR qr = new CholeskyQR(scarce.engine(), a, a)) {
                qr.run(Stream.DEFAULT);
            } catch (PanoptimException exhausted) {
                assertEquals(Code.EXHAUSTED, exhausted.code());
            }
            failed = scarce.hasFailed();
            assertEquals(0, scarce.open(), "after " + allocations + " allocations");
        }
        assertTrue(allocations > 5, allocations + " allocations");
        try (CholeskyQR qr = new CholeskyQR(scarce.engine(), a, a)) {
            scarce.failAfter(0);
            qr.run(Stream.DEFAULT);
        }
    }

    /** Random matrices of given singular values, from 1 down. */
    private Tensor conditioned(DType dtype, int batch, int rows, int columns, double condition) {
        Tensor left = orthonormal(batch, rows, columns);
        Tensor right = orthonormal(batch, columns, columns);
        Tensor a = Tensor.zeros(arena, dtype, batch, rows, columns);
        for (int i = 0; i < batch; i++) {
            double[][] u = read(left, i, rows, columns);
            double[][] v = read(right, i, columns, columns);
            for (int r = 0; r < rows; r++) {
                for (int c = 0; c < columns; c++) {
                    double sum = 0;
                    for (int k = 0; k < columns; k++) {
                        sum += u[r][k] * Math.pow(condition, columns == 1 ? 0 : -(double) k / (columns - 1)) * v[c][k];
                    }
                    a.set(((long) i * rows + r) * columns + c, sum);
                }
            }
        }
        return a;
    }

    private Tensor orthonormal(int batch, int rows, int columns) {
        Tensor q = gaussian(DType.FLOAT64, batch, rows, columns);
        TestEngines.reference().decompose(Decomposition.qr(Matrices.of(q)), Stream.DEFAULT);
        return q;
    }

    /** The factor by {@link Engine#decompose} in float64, the diagonal of R positive. */
    private double[][] householder(Tensor a, int matrix, int rows, int columns) {
        double[][] given = read(a, matrix, rows, columns);
        Tensor copy = Tensor.zeros(arena, DType.FLOAT64, rows, columns);
        for (int j = 0; j < rows * columns; j++) {
            copy.set(j, given[j / columns][j % columns]);
        }
        TestEngines.reference().decompose(Decomposition.qr(Matrices.of(copy)), Stream.DEFAULT);
        double[][] q = read(copy, 0, rows, columns);
        for (int c = 0; c < columns; c++) {
            double diagonal = 0;
            for (int r = 0; r < rows; r++) {
                diagonal += q[r][c] * given[r][c];
            }
            for (int r = 0; r < rows; r++) {
                q[r][c] *= Math.signum(diagonal);
            }
        }
        return q;
    }

    /** That {@code A - Q Q^T A} is small beside each column of A. */
    private static void assertSpan(double[][] a, double[][] q, double bound, String what) {
        for (int c = 0; c < a[0].length; c++) {
            double[] rest = new double[a.length];
            double length = 0;
            for (int r = 0; r < a.length; r++) {
                rest[r] = a[r][c];
                length = Math.hypot(length, a[r][c]);
            }
            for (int k = 0; k < q[0].length; k++) {
                double product = 0;
                for (int r = 0; r < a.length; r++) {
                    product += q[r][k] * a[r][c];
                }
                for (int r = 0; r < a.length; r++) {
                    rest[r] -= product * q[r][k];
                }
            }
            double norm = 0;
            for (double element : rest) {
                norm = Math.hypot(norm, element);
            }
            assertTrue(norm <= bound * length, what + ": " + norm / length + " of column " + c + " is outside the span");
        }
    }

    private static double[][] read(Tensor memory, int matrix, int rows, int columns) {
        double[][] a = new double[rows][columns];
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                a[i][j] = memory.get(((long) matrix * rows + i) * columns + j);
            }
        }
        return a;
    }
}
