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
            if (engine instanceof CpuEngine) { // others run what comes before
                own.close();
                PanoptimException refused = assertThrows(PanoptimException.class, () -> sequence.run(Stream.DEFAULT));
                assertEquals(Code.CLOSED, refused.code());
                assertTrue(refused.getMessage().contains("float32[4, 2, 30] lies in an arena that was closed"), refused.getMessage());
                assertArrayEquals(new double[4 * 2 * COLUMNS], values(chain.z));
            }
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
    void nothingIsPlannedOfNothing() {
        for (Engine engine : ENGINES) {
            try (MatrixProduct.Sequence sequence = engine.productSequence(List.of())) {
                sequence.run(Stream.DEFAULT);
            }
        }
    }
}
