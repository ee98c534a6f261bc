package io.panoptim.linalg;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.RandomTensors;
import io.panoptim.Refusals;
import io.panoptim.TestEngines;
import io.panoptim.engine.Decomposition;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.Stream;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Inverse roots against eigendecompositions, on every engine that multiplies. */
@Tag("native")
class InverseRootTest extends RandomTensors {
    private static final int MOST = 100;

    static List<Engine> engines() {
        return TestEngines.multiplying();
    }

    @ParameterizedTest
    @MethodSource("engines")
    void rootsAreThoseOfTheEigenvalues(Engine engine) {
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64)) {
            for (int size : new int[] {1, 2, 7, 30}) {
                for (int root : new int[] {1, 2, 3, 4, 6}) {
                    for (double condition : new double[] {1, 10, 1000}) {
                        Tensor a = Tensor.zeros(arena, dtype, 2, size, size);
                        for (int i = 0; i < 2; i++) {
                            positive(a, i, size, condition, i == 0 ? 1 : 1e-8);
                        }
                        Tensor result = Tensor.zeros(arena, dtype, 2, size, size);
                        try (InverseRoot roots = new InverseRoot(engine, Matrices.of(a), Matrices.of(result), root)) {
                            int iterations = roots.run(0, 1e-12, MOST, Stream.DEFAULT);
                            assertTrue(iterations < 30, iterations + " iterations");
                            double[] once = values(result);
                            assertEquals(iterations, roots.run(0, 1e-12, MOST, Stream.DEFAULT));
                            assertArrayEquals(once, values(result), "every run has the same bits");
                        }
                        double bound = (dtype == DType.FLOAT64 ? 1e-13 : 2e-5) * Math.max(10, condition);
                        for (int i = 0; i < 2; i++) {
                            assertNear(oracle(a, i, size, root, 0), values(result.slice((long) i * size * size, size, size)), bound);
                        }
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void theRidgeMakesSingularMatricesRegular(Engine engine) {
        int size = 9;
        Tensor a = Tensor.zeros(arena, DType.FLOAT64, 3, size, size);
        for (int i = 0; i < size * size; i++) { // the second has rank one, the third is zero
            a.set(i, i % (size + 1) == 0 ? 2 : 0);
            a.set(size * size + i, (i / size + 1) * (i % size + 1));
        }
        Tensor result = Tensor.zeros(arena, DType.FLOAT64, 3, size, size);
        try (InverseRoot roots = new InverseRoot(engine, Matrices.of(a), Matrices.of(result), 4)) {
            roots.run(1e-3, 1e-9, MOST, Stream.DEFAULT);
        }
        for (int i = 0; i < 3; i++) {
            assertNear(oracle(a, i, size, 4, 1e-3), values(result.slice((long) i * size * size, size, size)), 1e-7);
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void whatHasNoRootIsRefusedAndResultsStay(Engine engine) {
        Tensor result = Tensor.zeros(arena, DType.FLOAT32, 3, 3);
        result.set(4, 7);
        refused(engine, "InverseRoot: matrix 0 has elements that are infinite or NaN", result, 1, 0, 0, Double.NaN, 1, 0, 0, 0, 1);
        refused(engine, "InverseRoot: matrix 0 is zero, and so is the ridge: there is no inverse root", result, new double[9]);
        refused(engine, "InverseRoot: the iterations for the inverse root 2 of float32[3, 3]", result, 1, 0, 0, 0, -1, 0, 0, 0, 1);
        refused(engine, "InverseRoot: the iterations for the inverse root 2 of float32[3, 3]", result, 1, 0, 0, 0, 0, 0, 0, 0, 1);
        assertEquals(7, result.get(4));
        Matrices empty = Matrices.of(Tensor.zeros(arena, DType.FLOAT32, 0, 0));
        Matrices emptyToo = Matrices.of(Tensor.zeros(arena, DType.FLOAT32, 0, 0));
        try (InverseRoot roots = new InverseRoot(engine, empty, emptyToo, 2)) {
            assertEquals(0, roots.run(0, 1e-6, MOST, Stream.DEFAULT));
        }
        Matrices wide = Matrices.of(Tensor.zeros(arena, DType.FLOAT32, 2, 3));
        assertThrows(PanoptimException.class, () -> new InverseRoot(engine, wide, wide, 2));
    }

    @ParameterizedTest
    @MethodSource("engines")
    void whatIsRefusedTakesNoMemory(Engine engine) {
        List<Memory> taken = new ArrayList<>();
        Engine counting = (Engine) Proxy.newProxyInstance(Engine.class.getClassLoader(), new Class<?>[] {Engine.class}, (proxy, method, given) -> {
            try {
                Object result = method.invoke(engine, given);
                if (result instanceof Memory memory) {
                    taken.add(memory);
                }
                return result;
            } catch (InvocationTargetException refusal) {
                throw refusal.getCause();
            }
        });
        Tensor memory = Tensor.zeros(arena, DType.FLOAT32, 3, 10);
        for (int i = 0; i < 3; i++) {
            memory.set(4 * i, 1);
        }
        Matrices a = Matrices.of(memory.slice(0, 3, 3));
        Refusals.refused("overlaps the result", () -> new InverseRoot(counting, a, Matrices.of(memory.slice(8, 3, 3)), 2));
        Arena closed = Arena.ofShared();
        Matrices gone = Matrices.of(Tensor.zeros(closed, DType.FLOAT32, 3, 3));
        closed.close();
        Refusals.refused("closed", () -> new InverseRoot(counting, a, gone, 2));
        assertEquals(0, taken.size());
        new InverseRoot(counting, a, Matrices.of(memory.slice(9, 3, 3)), 2).close();
        assertEquals(1, taken.size(), "what is taken is counted");
    }

    private void refused(Engine engine, String message, Tensor result, double... elements) {
        Tensor a = Tensor.zeros(arena, DType.FLOAT32, 3, 3);
        for (int i = 0; i < 9; i++) {
            a.set(i, elements[i]);
        }
        try (InverseRoot roots = new InverseRoot(engine, Matrices.of(a), Matrices.of(result), 2)) {
            String found = assertThrows(PanoptimException.class, () -> roots.run(0, 1e-6, MOST, Stream.DEFAULT)).getMessage();
            assertTrue(found.startsWith(message), found);
        }
    }

    /** Eigenvalues from scale / condition to scale. */
    private void positive(Tensor to, int matrix, int size, double condition, double scale) {
        Tensor q = gaussian(DType.FLOAT64, size, size);
        TestEngines.reference().decompose(Decomposition.qr(Matrices.of(q)), Stream.DEFAULT);
        for (int i = 0; i < size; i++) {
            for (int j = 0; j < size; j++) {
                double sum = 0;
                for (int k = 0; k < size; k++) {
                    double value = scale * Math.pow(condition, size == 1 ? 0 : -(double) k / (size - 1));
                    sum += q.get(Math.max(i, j) * size + k) * value * q.get(Math.min(i, j) * size + k);
                }
                to.set(((long) matrix * size + i) * size + j, sum);
            }
        }
    }

    /** By the reference engine's eigendecomposition. */
    private double[] oracle(Tensor a, int matrix, int size, int root, double ridge) {
        Tensor vectors = Tensor.zeros(arena, DType.FLOAT64, size, size);
        for (int i = 0; i < size * size; i++) {
            vectors.set(i, a.get((long) matrix * size * size + i) + (i % (size + 1) == 0 ? ridge : 0));
        }
        Tensor eigenvalues = Tensor.zeros(arena, DType.FLOAT64, size);
        TestEngines.reference().decompose(Decomposition.eigen(Matrices.of(vectors), eigenvalues), Stream.DEFAULT);
        double[] result = new double[size * size];
        for (int i = 0; i < size; i++) {
            for (int j = 0; j < size; j++) {
                for (int k = 0; k < size; k++) {
                    result[i * size + j] += vectors.get(i * size + k) * Math.pow(eigenvalues.get(k), -1.0 / root) * vectors.get(j * size + k);
                }
            }
        }
        return result;
    }

    private static void assertNear(double[] expected, double[] found, double bound) {
        double largest = 0;
        for (double value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        assertArrayEquals(expected, found, bound * largest);
    }
}
