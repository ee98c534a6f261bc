package io.panoptim.linalg;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.RandomTensors;
import io.panoptim.TestEngines;
import io.panoptim.engine.Decomposition;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.Stream;
import io.panoptim.engine.cuda.CudaEngine;
import io.panoptim.engine.cuda.CudaStream;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Eigenvectors and orthonormal factors by their definitions, on every engine that has them. */
@Tag("native")
class DecompositionTest extends RandomTensors {
    static List<Engine> engines() {
        return TestEngines.multiplying();
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64"})
    void eigenvectors(DType dtype) {
        double bound = dtype == DType.FLOAT64 ? 1e-13 : 2e-5;
        for (Engine engine : engines()) {
            for (int size : new int[] {1, 2, 5, 40, 97}) {
                for (int rank : new int[] {0, 1, size / 2, size, 2 * size}) {
                    String message = engine.description() + ", size " + size + ", rank " + rank;
                    int leading = size + 3;
                    int batch = 3;
                    Tensor memory = Tensor.zeros(arena, dtype, batch, size, leading);
                    double[][][] a = new double[batch][][];
                    for (int b = 0; b < batch; b++) {
                        a[b] = ofRank(size, rank, dtype);
                        for (int i = 0; i < size; i++) {
                            for (int j = 0; j < leading; j++) { // what lies above the diagonal and behind rows does not matter
                                memory.set(((long) b * size + i) * leading + j, j <= i ? a[b][i][j] : Double.MAX_VALUE / 1e300);
                            }
                        }
                    }
                    Tensor values = Tensor.zeros(arena, dtype, batch, size);
                    engine.decompose(Decomposition.eigen(Matrices.strided(memory, 0, batch, size, size, leading, (long) size * leading),
                            values), Stream.DEFAULT);
                    for (int b = 0; b < batch; b++) {
                        double norm = Math.max(1e-30, Math.abs(values.get((long) b * size + size - 1)));
                        double[][] v = read(memory, (long) b * size * leading, size, size, leading);
                        assertOrthonormal(v, bound);
                        for (int k = 0; k < size; k++) {
                            double value = values.get((long) b * size + k);
                            assertTrue(k == 0 || value >= values.get((long) b * size + k - 1), "they ascend");
                            for (int i = 0; i < size; i++) {
                                double product = 0;
                                for (int j = 0; j < size; j++) {
                                    product += a[b][i][j] * v[j][k];
                                }
                                assertEquals(value * v[i][k], product, bound * norm, message);
                            }
                        }
                    }
                    assertEquals(dtype == DType.FLOAT64 ? Double.MAX_VALUE / 1e300 : (float) (Double.MAX_VALUE / 1e300),
                            memory.get(leading - 1), "what lies behind a row stays");
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64"})
    void orthonormalFactors(DType dtype) {
        double bound = dtype == DType.FLOAT64 ? 1e-13 : 2e-5;
        int[][] shapes = {{1, 1}, {2, 2}, {5, 3}, {40, 40}, {97, 13}, {200, 1}};
        for (int[] shape : shapes) {
            int rows = shape[0];
            int columns = shape[1];
            for (boolean zero : new boolean[] {false, true}) {
                double[][] a = new double[rows][columns];
                List<double[][]> results = new ArrayList<>();
                for (int i = 0; i < rows && !zero; i++) {
                    for (int j = 0; j < columns; j++) {
                        a[i][j] = (float) random.nextGaussian();
                    }
                }
                for (Engine engine : engines()) {
                    Tensor memory = Tensor.zeros(arena, dtype, rows, columns);
                    for (int i = 0; i < rows * columns; i++) {
                        memory.set(i, a[i / columns][i % columns]);
                    }
                    engine.decompose(Decomposition.qr(Matrices.of(memory)), Stream.DEFAULT);
                    double[][] q = read(memory, 0, rows, columns, columns);
                    assertOrthonormal(q, bound);
                    for (int j = 0; j < columns; j++) { // R = Q^T A is triangular
                        for (int k = 0; k < j; k++) {
                            double product = 0;
                            for (int i = 0; i < rows; i++) {
                                product += q[i][j] * a[i][k];
                            }
                            assertEquals(0, product, bound * 20);
                        }
                    }
                    results.add(q);
                }
                for (double[][] result : results) { // with the same signs
                    for (int i = 0; i < rows; i++) {
                        for (int j = 0; j < columns; j++) {
                            assertEquals(results.getFirst()[i][j], result[i][j], bound * 50);
                        }
                    }
                }
            }
        }
    }

    /** What is left of its columns below the first reflections is rounding errors, then those of these, … down to subnormal numbers. */
    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64"})
    void factorsOfLowRankAreOrthonormal(DType dtype) {
        for (Engine engine : engines()) {
            Tensor memory = Tensor.zeros(arena, dtype, 120, 120);
            for (int i = 0; i < 120 * 120; i++) {
                memory.set(i, (1.0 / (1 + i / 120)) * (0.1 + i % 120));
            }
            engine.decompose(Decomposition.qr(Matrices.of(memory)), Stream.DEFAULT);
            assertOrthonormal(read(memory, 0, 120, 120, 120), dtype == DType.FLOAT64 ? 1e-13 : 2e-5);
        }
    }

    @Test
    void whatIsRefusedIsLeftAlone() {
        for (Engine engine : engines()) {
            Tensor memory = Tensor.zeros(arena, DType.FLOAT32, 2, 3, 3);
            memory.set(0, 5);
            memory.set(13, Double.NaN);
            Decomposition eigen = Decomposition.eigen(Matrices.of(memory), Tensor.zeros(arena, DType.FLOAT32, 2, 3));
            PanoptimException refused = assertThrows(PanoptimException.class, () -> engine.decompose(eigen, Stream.DEFAULT));
            assertEquals("Engine.decompose: matrix 1 has elements that are infinite or NaN", refused.getMessage());
            assertEquals(5, memory.get(0));
            engine.decompose(Decomposition.qr(Matrices.of(Tensor.zeros(arena, DType.FLOAT32, 0, 0))), Stream.DEFAULT);
            engine.decompose(Decomposition.qr(Matrices.of(Tensor.zeros(arena, DType.FLOAT32, 5, 0))), Stream.DEFAULT);
        }
        Matrices wide = Matrices.of(Tensor.zeros(arena, DType.FLOAT32, 2, 3));
        assertThrows(PanoptimException.class, () -> Decomposition.qr(wide));
        assertThrows(PanoptimException.class, () -> Decomposition.eigen(wide, Tensor.zeros(arena, DType.FLOAT32, 3)));
        Matrices half = Matrices.of(Tensor.zeros(arena, DType.BFLOAT16, 3, 3));
        assertEquals(Code.UNSUPPORTED, assertThrows(PanoptimException.class, () -> Decomposition.qr(half)).code());
    }

    @Test
    void onADevice() {
        CudaEngine cuda = TestEngines.cuda();
        int size = 6;
        int leading = 9;
        List<Tensor> here = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            here.add(Tensor.zeros(arena, DType.FLOAT64, 4 + 2 * 60));
            for (int j = 0; j < here.get(i).elements(); j++) {
                here.get(i).set(j, random.nextGaussian());
            }
        }
        Tensor values = Tensor.zeros(arena, DType.FLOAT64, 6, size);
        try (Memory memory = cuda.memory(); CudaStream stream = cuda.newStream()) {
            List<Tensor> there = here.stream().map(memory::zerosLike).toList();
            Tensor valuesThere = memory.zerosLike(values);
            for (Decomposition.Kind kind : Decomposition.Kind.values()) {
                boolean eigen = kind == Decomposition.Kind.EIGEN;
                for (int i = 0; i < 3; i++) {
                    cuda.copy(here.get(i), there.get(i), stream.stream());
                }
                cuda.decompose(new Decomposition(kind, new Matrices(there, 4, 2, size, size, leading, 60), eigen ? valuesThere : null),
                        stream.stream());
                TestEngines.reference().decompose(new Decomposition(kind, new Matrices(here, 4, 2, size, size, leading, 60),
                        eigen ? values : null), Stream.DEFAULT);
                for (int i = 0; i < 3; i++) {
                    Tensor back = Tensor.zeros(arena, DType.FLOAT64, here.get(i).elements());
                    cuda.copy(there.get(i), back, stream.stream());
                    for (int j = 0; j < back.elements(); j++) {
                        boolean isVector = j >= 4 && (j - 4) % 60 / leading < size && (j - 4) % 60 % leading < size;
                        double expected = here.get(i).get(j);
                        assertEquals(isVector && eigen ? Math.abs(expected) : expected, isVector && eigen ? Math.abs(back.get(j)) : back.get(j),
                                isVector ? 1e-10 : 0, kind + ", element " + j);
                    }
                }
            }
            Tensor back = Tensor.zeros(arena, DType.FLOAT64, 6, size);
            cuda.copy(valuesThere, back, stream.stream());
            for (int i = 0; i < back.elements(); i++) {
                assertEquals(values.get(i), back.get(i), 1e-12);
            }
        }
    }

    @Test
    void whatADeviceRefusesIsLeftAlone() {
        CudaEngine cuda = TestEngines.cuda();
        try (Memory memory = cuda.memory(); CudaStream stream = cuda.newStream()) {
            Tensor here = Tensor.zeros(arena, DType.FLOAT32, 2, 3, 3);
            here.set(0, 5);
            here.set(13, Double.POSITIVE_INFINITY);
            Tensor there = memory.zerosLike(here);
            cuda.copy(here, there, Stream.DEFAULT);
            Decomposition qr = Decomposition.qr(Matrices.of(there));
            refused("Engine.decompose: matrix 1 has elements that are infinite or NaN", () -> cuda.decompose(qr, Stream.DEFAULT));
            refused("a decomposition cannot be captured", () -> cuda.capture(stream.stream(), () -> cuda.decompose(qr, stream.stream())));
            refused("lies on cpu, but the cuda engine works on cuda:0", () -> cuda.decompose(Decomposition.qr(Matrices.of(here)), Stream.DEFAULT));
            cuda.copy(there, here, Stream.DEFAULT);
            assertEquals(5, here.get(0));
            cuda.decompose(Decomposition.qr(Matrices.of(memory.zeros(DType.FLOAT32, 5, 0))), Stream.DEFAULT);
            Memory closed = cuda.memory();
            Decomposition late = Decomposition.qr(Matrices.of(closed.zeros(DType.FLOAT32, 3, 3)));
            closed.close();
            refused("memory that was closed", () -> cuda.decompose(late, Stream.DEFAULT));
        }
    }

    static void assertOrthonormal(double[][] q, double bound) {
        for (int j = 0; j < q[0].length; j++) {
            for (int k = 0; k <= j; k++) {
                double product = 0;
                for (double[] row : q) {
                    product += row[j] * row[k];
                }
                assertEquals(j == k ? 1 : 0, product, bound);
            }
        }
    }

    /** A symmetric matrix with positive and negative eigenvalues, exact in float32. */
    private double[][] ofRank(int size, int rank, DType dtype) {
        double[][] a = new double[size][size];
        for (int k = 0; k < rank; k++) {
            double[] x = random.doubles(size, -1, 1).toArray();
            for (int i = 0; i < size; i++) {
                for (int j = 0; j < size; j++) {
                    a[i][j] += x[i] * x[j] * (k % 3 == 2 ? -1 : 1);
                }
            }
        }
        for (int i = 0; i < size; i++) {
            for (int j = 0; j < size; j++) {
                a[i][j] = dtype == DType.FLOAT32 ? (float) a[i][j] : a[i][j];
            }
        }
        return a;
    }

    private static double[][] read(Tensor memory, long first, int rows, int columns, int leading) {
        double[][] a = new double[rows][columns];
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                a[i][j] = memory.get(first + (long) i * leading + j);
            }
        }
        return a;
    }
}
