package io.panoptim.linalg;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.MatrixProduct.Scaled;
import io.panoptim.engine.Stream;
import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Products one after the other, with elements that are exact in all types, so that their order cannot matter. */
@Tag("native")
class ProductSequenceTest {
    private static final int ROWS = 20;
    private static final int COLUMNS = 30;
    private static final List<Engine> ENGINES = engines();

    private final Arena arena = Arena.ofShared();
    private final Random random = new Random(3);

    private static List<Engine> engines() {
        List<Engine> engines = new ArrayList<>(List.of(TestEngines.reference()));
        TestEngines.multiplyingTiers().forEach(isa -> IntStream.of(1, 2, 3).forEach(threads -> engines.add(
                TestEngines.open(isa, threads, 16))));
        engines.addAll(TestEngines.mirrors());
        return engines;
    }

    @AfterEach
    void close() {
        arena.close();
    }

    @AfterAll
    static void closeEngines() {
        ENGINES.stream().filter(CpuEngine.class::isInstance).forEach(engine -> ((CpuEngine) engine).close());
    }

    /** R = X X^T, P = R^2 + 2 R, Y = P X + 3 X, and Z = W Y with one W for all. */
    private final class Chain {
        final Matrices x;
        final Matrices y;
        final Matrices z;
        final List<Scaled> products;

        Chain(DType dtype, int batch, Arena memory) {
            x = Matrices.of(filled(Tensor.zeros(memory, dtype, batch, ROWS, COLUMNS)));
            y = Matrices.of(Tensor.zeros(memory, dtype, batch, ROWS, COLUMNS));
            z = Matrices.of(Tensor.zeros(memory, dtype, batch, 2, COLUMNS));
            Matrices w = Matrices.of(filled(Tensor.zeros(memory, dtype, 2, ROWS)));
            Matrices r = Matrices.of(Tensor.zeros(memory, dtype, batch, ROWS, ROWS));
            Matrices p = Matrices.of(Tensor.zeros(memory, dtype, batch, ROWS, ROWS));
            products = List.of(new Scaled(new MatrixProduct(x, false, x, true, r, r, true), 1, 0, 0),
                    new Scaled(new MatrixProduct(r, false, r, true, r, p, true), 1, 2, 0),
                    new Scaled(new MatrixProduct(p, false, x, false, x, y, false), 1, 3, 0),
                    new Scaled(MatrixProduct.of(w, false, y, false, z), 1, 0, 0));
        }

        double[] results() {
            return java.util.stream.Stream.of(y, z).flatMapToDouble(each -> Arrays.stream(values(each))).toArray();
        }
    }

    /** One element of each row is 1 or -1: sums stay small. */
    private Tensor filled(Tensor tensor) {
        long columns = tensor.shape()[tensor.shape().length - 1];
        for (long i = 0; i < tensor.elements(); i += columns) {
            tensor.set(i + random.nextInt((int) columns), random.nextBoolean() ? 1 : -1);
        }
        return tensor;
    }

    private static double[] values(Matrices matrices) {
        Tensor tensor = matrices.tensors().getFirst();
        double[] values = new double[Math.toIntExact(tensor.elements())];
        Arrays.setAll(values, tensor::get);
        return values;
    }

    private static void clear(Chain chain) {
        for (Matrices matrices : List.of(chain.y, chain.z)) {
            Tensor tensor = matrices.tensors().getFirst();
            for (long i = 0; i < tensor.elements(); i++) {
                tensor.set(i, Double.NaN);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64", "BFLOAT16", "FLOAT16"})
    void theResultsAreThoseOfTheProductsOneByOne(DType dtype) {
        for (int batch : new int[] {1, 2, 3, 8, 13}) {
            Chain one = new Chain(dtype, batch, arena);
            Chain other = new Chain(dtype, 2, arena); // of another size, in the same sequence
            List<Scaled> products = new ArrayList<>(one.products);
            products.addAll(other.products);
            for (Scaled each : products) {
                try (MatrixProduct.Plan plan = TestEngines.reference().matrixProduct(each.product())) {
                    plan.run(each.alpha(), each.beta(), each.gamma(), Stream.DEFAULT);
                }
            }
            double[] expected = one.results();
            double[] otherExpected = other.results();
            assertTrue(Arrays.stream(expected).anyMatch(value -> Math.abs(value) > 3)); // P adds something
            for (Engine engine : ENGINES) {
                try (MatrixProduct.Sequence sequence = engine.productSequence(products)) {
                    for (int run = 0; run < 2; run++) {
                        clear(one);
                        clear(other);
                        sequence.run(Stream.DEFAULT);
                        assertArrayEquals(expected, one.results(), engine.description() + ", batch " + batch);
                        assertArrayEquals(otherExpected, other.results(), engine.description() + ", batch " + batch);
                    }
                }
            }
        }
    }

    @Test
    void memoryMayLieInManyArenas() {
        for (Engine engine : ENGINES) {
            List<Arena> arenas = IntStream.range(0, 12).mapToObj(i -> Arena.ofShared()).toList();
            List<Tensor> tensors = arenas.stream().map(own -> filled(Tensor.zeros(own, DType.FLOAT32, ROWS, COLUMNS))).toList();
            Matrices r = Matrices.of(Tensor.zeros(arena, DType.FLOAT32, 12, ROWS, ROWS));
            Matrices x = Matrices.of(tensors);
            try (MatrixProduct.Sequence sequence = engine.productSequence(List.of(
                    new Scaled(new MatrixProduct(x, false, x, true, r, r, true), 1, 0, 0),
                    new Scaled(MatrixProduct.of(r, false, r, false, Matrices.of(Tensor.zeros(arena, DType.FLOAT32, 12, ROWS, ROWS))), 1, 0, 0)))) {
                sequence.run(Stream.DEFAULT);
            }
            assertEquals(ROWS * 12, IntStream.range(0, 12 * ROWS).filter(i -> r.tensors().getFirst().get(
                    (long) i * ROWS + i % ROWS) == 1).count(), engine.description());
            arenas.forEach(Arena::close);
        }
    }

    @Test
    void whatCannotRunIsRefusedBeforeAnythingIsWritten() {
        for (Engine engine : ENGINES) {
            Arena own = Arena.ofShared();
            Chain chain = new Chain(DType.FLOAT32, 4, arena);
            Matrices gone = Matrices.of(Tensor.zeros(own, DType.FLOAT32, 4, 2, COLUMNS));
            List<Scaled> products = new ArrayList<>(chain.products);
            products.add(new Scaled(MatrixProduct.of(chain.z, true, gone, false, Matrices.of(Tensor.zeros(arena, DType.FLOAT32, 4, COLUMNS,
                    COLUMNS))), 1, 0, 0));
            MatrixProduct.Sequence sequence = engine.productSequence(products);
            own.close();
            PanoptimException refused = assertThrows(PanoptimException.class, () -> sequence.run(Stream.DEFAULT));
            assertEquals(Code.CLOSED, refused.code());
            assertTrue(refused.getMessage().contains("float32[4, 2, 30] lies in an arena that was closed"), refused.getMessage());
            assertArrayEquals(new double[4 * 2 * COLUMNS], values(chain.z), engine.description());
            sequence.close();
            sequence.close();
            assertEquals(Code.CLOSED, assertThrows(PanoptimException.class, () -> sequence.run(Stream.DEFAULT)).code());
            Tensor readOnly = Tensor.of(chain.z.tensors().getFirst().segment().asReadOnly(), DType.FLOAT32, 4, 2, COLUMNS);
            Scaled last = chain.products.getLast();
            assertTrue(assertThrows(PanoptimException.class, () -> engine.productSequence(List.of(new Scaled(MatrixProduct.of(
                    last.product().a(), false, chain.y, false, Matrices.of(readOnly)), 1, 0, 0)))).getMessage().contains("read-only"));
        }
    }

    @Test
    void whatNeedsAnotherNumbersResultsWaitsForThem() {
        int batch = 12;
        Tensor x = filled(Tensor.zeros(arena, DType.FLOAT32, batch, ROWS, ROWS));
        Tensor r = Tensor.zeros(arena, DType.FLOAT32, batch, ROWS, ROWS);
        Tensor y = Tensor.zeros(arena, DType.FLOAT32, batch, ROWS, ROWS);
        Matrices last = Matrices.of(r).part(batch - 1, 1);
        List<Scaled> products = List.of(
                new Scaled(new MatrixProduct(Matrices.of(x), false, Matrices.of(x), true, Matrices.of(r), Matrices.of(r), true), 1, 0, 0),
                new Scaled(MatrixProduct.of(last, false, Matrices.of(x), false, Matrices.of(y)), 1, 0, 0), // reads what another wrote
                new Scaled(MatrixProduct.of(Matrices.of(x), false, Matrices.of(x), false, Matrices.of(r)), 0, 0, 0)); // and it is overwritten
        for (Engine engine : ENGINES) {
            try (MatrixProduct.Sequence sequence = engine.productSequence(products)) {
                for (int run = 0; run < 20; run++) {
                    sequence.run(Stream.DEFAULT);
                    for (int i = 0; i < batch; i++) {
                        assertEquals(0, r.get((long) i * ROWS * ROWS));
                        for (int row = 0; row < ROWS; row++) {
                            assertEquals(outer(x, batch - 1, row, i), y.get(((long) i * ROWS + row) * ROWS), engine.description());
                        }
                    }
                }
            }
        }
    }

    /** The first element of a row of X_j X_j^T X_i. */
    private static double outer(Tensor x, int j, int row, int i) {
        double sum = 0;
        for (int k = 0; k < ROWS; k++) {
            for (int l = 0; l < ROWS; l++) {
                sum += element(x, j, row, l) * element(x, j, k, l) * element(x, i, k, 0);
            }
        }
        return sum;
    }

    private static double element(Tensor x, int matrix, int row, int column) {
        return x.get(((long) matrix * ROWS + row) * ROWS + column);
    }

    @Test
    void factorsChangeBetweenRuns() {
        for (Engine engine : ENGINES) {
            Chain chain = new Chain(DType.FLOAT32, 8, arena);
            try (MatrixProduct.Sequence sequence = engine.productSequence(chain.products)) {
                sequence.run(Stream.DEFAULT);
                double[] before = values(chain.z);
                sequence.factors(3, 2, 0, 0); // the last one's
                sequence.run(Stream.DEFAULT);
                assertArrayEquals(Arrays.stream(before).map(value -> 2 * value).toArray(), values(chain.z), engine.description());
            }
        }
    }

    @Test
    void nothingIsPlannedOfNothing() {
        for (Engine engine : ENGINES) {
            try (MatrixProduct.Sequence sequence = engine.productSequence(List.of())) {
                sequence.run(Stream.DEFAULT);
            }
        }
    }
}
