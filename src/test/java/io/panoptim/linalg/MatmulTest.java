package io.panoptim.linalg;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Stream;
import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.Isa;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Products of the CPU and CUDA engines against the reference engine's, and what is refused. */
@Tag("native")
class MatmulTest {
    private static final List<DType> TYPES = List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16);

    private static final Map<String, CpuEngine> ENGINES = new HashMap<>();

    private final Arena arena = Arena.ofShared();
    private final Random random = new Random(7);

    @AfterEach
    void close() {
        arena.close();
    }

    @AfterAll
    static void closeEngines() {
        ENGINES.values().forEach(CpuEngine::close);
        ENGINES.clear();
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64", "BFLOAT16", "FLOAT16"})
    void productsAreTheReferences(DType dtype) {
        long[][] shapes = {{1, 1, 1}, {1, 7, 5}, {7, 1, 5}, {3, 4, 1}, {17, 33, 65}, {128, 128, 128}, {130, 257, 129}, {300, 64, 200}};
        for (long[] shape : shapes) {
            for (int flags = 0; flags < 4; flags++) {
                boolean transposeA = (flags & 1) != 0;
                boolean transposeB = (flags & 2) != 0;
                Matrices a = padded(dtype, 1, transposeA ? shape[2] : shape[0], transposeA ? shape[0] : shape[2]);
                Matrices b = padded(dtype, 1, transposeB ? shape[1] : shape[2], transposeB ? shape[2] : shape[1]);
                Matrices c = padded(dtype, 1, shape[0], shape[1]);
                compare(new MatrixProduct(a, transposeA, b, transposeB, c, c, false), 1, 0);
                compare(new MatrixProduct(a, transposeA, b, transposeB, c, c, false), -0.75, 0.5);
                compare(new MatrixProduct(a, transposeA, b, transposeB, c, padded(dtype, 1, shape[0], shape[1]), false), 2, 1);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64", "BFLOAT16", "FLOAT16"})
    void symmetricProductsAreTheReferencesAndExactlySymmetric(DType dtype) {
        for (long size : new long[] {1, 5, 64, 97, 256, 257}) {
            for (boolean transposed : new boolean[] {false, true}) {
                Matrices a = padded(dtype, 3, transposed ? 70 : size, transposed ? size : 70);
                Matrices c = padded(dtype, 3, size, size);
                mirror(c);
                Matrices d = padded(dtype, 3, size, size);
                MatrixProduct product = new MatrixProduct(a, transposed, a, !transposed, c, d, true);
                compare(product, 1.5, transposed ? 0 : -0.5);
                compare(new MatrixProduct(a, transposed, a, !transposed, c, c, true), 1.5, transposed ? -0.5 : 0);
                for (Isa isa : TestEngines.multiplyingTiers()) {
                    run(ENGINES.computeIfAbsent(isa + " 3", key -> TestEngines.open(isa, 3, 16)), product, 1.5, -0.5);
                    assertSymmetric(d);
                }
                TestEngines.mirrors().forEach(cuda -> {
                    run(cuda, product, 1.5, -0.5);
                    assertSymmetric(d);
                });
            }
        }
    }

    private static void assertSymmetric(Matrices d) {
        for (long matrix = 0; matrix < d.batch(); matrix++) {
            for (long i = 0; i < d.rows(); i++) {
                for (long j = 0; j < i; j++) {
                    assertEquals(get(d, matrix, i, j), get(d, matrix, j, i));
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {2, 3, 5, 8, 31})
    void batchesStridedOrInTensorsOfTheirOwn(long batch) {
        for (DType dtype : TYPES) {
            Matrices one = padded(dtype, 1, 40, 30);
            Matrices strided = padded(dtype, batch, 30, 50);
            compare(MatrixProduct.of(one, false, strided, false, padded(dtype, batch, 40, 50)), 1, 0);
            List<Tensor> tensors = LongStream.range(0, batch).mapToObj(i -> filled(Tensor.zeros(Arena.ofAuto(), dtype, 40, 50))).toList();
            compare(MatrixProduct.of(one, false, strided, false, Matrices.of(tensors)), 1, 1);
            Tensor wide = filled(Tensor.zeros(arena, dtype, 40, 50 * batch + 3));
            compare(MatrixProduct.of(one, false, strided, false,
                    Matrices.strided(wide, 1, batch, 40, 50, 50 * batch + 3, 50)), 1, 1); // side by side in one matrix
        }
    }

    /** More arenas than one native call can guard. */
    @Test
    void aBatchInManyArenas() {
        List<Arena> arenas = LongStream.range(0, 30).mapToObj(i -> Arena.ofShared()).toList();
        List<Tensor> as = arenas.stream().map(own -> filled(Tensor.zeros(own, DType.FLOAT32, 5, 6))).toList();
        List<Tensor> bs = arenas.stream().map(own -> filled(Tensor.zeros(own, DType.FLOAT32, 6, 4))).toList();
        List<Tensor> cs = arenas.stream().map(own -> filled(Tensor.zeros(Arena.ofAuto(), DType.FLOAT32, 5, 4))).toList();
        MatrixProduct product = MatrixProduct.of(Matrices.of(as), false, Matrices.of(bs), false, Matrices.of(cs));
        compare(product, 1, 0);
        try (CpuEngine engine = TestEngines.open(tier(), 2, 16);
                MatrixProduct.Plan plan = engine.matrixProduct(product)) {
            arenas.get(29).close();
            double[] before = everything(product.d());
            assertEquals(Code.CLOSED, assertThrows(PanoptimException.class, () -> plan.run(1, 0, Stream.DEFAULT)).code());
            assertArrayEquals(before, everything(product.d()));
        }
        arenas.subList(0, 29).forEach(Arena::close);
    }

    @Test
    void whereAFactorIsZeroNothingIsRead() {
        for (DType dtype : TYPES) {
            Matrices nan = constant(dtype, Double.NaN, 3, 3);
            Matrices one = constant(dtype, 1, 3, 3);
            for (Engine engine : TestEngines.multiplying()) {
                Matrices d = constant(dtype, Double.NaN, 3, 3);
                run(engine, MatrixProduct.of(one, false, one, false, d), 2, 0);
                assertEquals(6, get(d, 0, 1, 2), engine.description());
                run(engine, MatrixProduct.of(nan, false, one, false, d), 0, 0.5);
                assertEquals(3, get(d, 0, 2, 1), engine.description());
                run(engine, MatrixProduct.of(nan, false, one, false, d), 0, 0);
                assertEquals(0, get(d, 0, 0, 0), engine.description());
                run(engine, new MatrixProduct(nan, false, nan, true, one, d, true), 0, 4);
                assertEquals(4, get(d, 0, 0, 2), engine.description());
                run(engine, MatrixProduct.of(one, false, nan, false, d), 1, 0);
                assertTrue(Double.isNaN(get(d, 0, 0, 0)), engine.description());
            }
        }
    }

    @Test
    void aMultipleOfTheIdentityIsAddedWhetherOrNotThereIsC() {
        for (DType dtype : TYPES) {
            for (Engine engine : TestEngines.multiplying()) {
                for (int given = 0; given < 8; given++) {
                    boolean symmetric = given % 2 == 1;
                    int beta = given / 2 % 2;
                    int size = given < 4 ? 3 : 70;
                    Matrices one = constant(dtype, 1, size, size);
                    Matrices d = constant(dtype, 1, size, size);
                    try (MatrixProduct.Plan plan = engine.matrixProduct(new MatrixProduct(one, false, one, true, d, d, symmetric))) {
                        plan.run(1, beta, 2, Stream.DEFAULT);
                    }
                    for (int row = 0; row < size; row++) {
                        for (int column = 0; column < size; column++) {
                            int i = row;
                            int j = column;
                            assertEquals(size + beta + (i == j ? 2 : 0), get(d, 0, i, j), () -> engine.description() + ", " + dtype
                                    + ", beta " + beta + ", " + i + " " + j);
                        }
                    }
                }
            }
        }
    }

    @Test
    void withoutInnerElementsTheProductIsZero() {
        for (DType dtype : TYPES) {
            for (Engine engine : TestEngines.multiplying()) {
                Matrices d = constant(dtype, 3, 2, 2);
                run(engine, MatrixProduct.of(constant(dtype, 1, 2, 0), false, constant(dtype, 1, 0, 2), false, d), 1, 2);
                assertEquals(6, get(d, 0, 1, 1));
                run(engine, MatrixProduct.of(constant(dtype, 1, 0, 2), false, constant(dtype, 1, 2, 2), false, constant(dtype, 1, 0, 2)), 1, 0);
                run(engine, MatrixProduct.of(new Matrices(d.tensors(), 0, 0, 2, 2, 2, 4), false, new Matrices(d.tensors(), 0, 0, 2, 2, 2, 4),
                        false, new Matrices(d.tensors(), 0, 0, 2, 2, 2, 4)), 1, 0);
            }
        }
    }

    /** Half types: a sum that would stop growing in the type itself. */
    @Test
    void halfTypesAccumulateInFloat32() {
        for (Engine engine : TestEngines.multiplying()) {
            Matrices d = constant(DType.BFLOAT16, 0, 1, 1);
            run(engine, MatrixProduct.of(constant(DType.BFLOAT16, 1, 1, 4096), false, constant(DType.BFLOAT16, 1, 4096, 1), false, d), 1, 0);
            assertEquals(4096, get(d, 0, 0, 0), engine.description());
        }
    }

    @Test
    void theCallsWithoutAPlan() {
        tier(); // what follows takes the best engine for the CPU
        Tensor a = Tensor.of(arena, new float[] {1, 2, 3, 4, 5, 6}, 2, 3);
        Tensor c = Tensor.zeros(arena, DType.FLOAT32, 2, 2);
        Linalg.matmul(1, Matrices.of(a), false, Matrices.of(a), true, 0, Matrices.of(c), Stream.DEFAULT);
        assertArrayEquals(new double[] {14, 32, 32, 77}, everything(Matrices.of(c)));
        Linalg.symmetricProduct(1, Matrices.of(a), false, 1, Matrices.of(c), Stream.DEFAULT);
        assertArrayEquals(new double[] {28, 64, 64, 154}, everything(Matrices.of(c)));
        Tensor b = Tensor.of(arena, new float[] {1, 0, 0, 1, 1, 1}, 3, 2);
        Linalg.matmul(a, b, c);
        assertArrayEquals(new double[] {4, 5, 10, 11}, everything(Matrices.of(c)));
    }

    @Test
    void whatDoesNotFitIsRefused() {
        tier(); // what follows takes the best engine for the CPU
        Tensor a = Tensor.zeros(arena, DType.FLOAT32, 2, 3);
        Tensor b = Tensor.zeros(arena, DType.FLOAT32, 3, 4);
        Tensor c = Tensor.zeros(arena, DType.FLOAT32, 2, 4);
        refused("matmul: shapes do not fit: float32[2, 3] by float32[2, 3] into float32[2, 4]", a, a, c);
        refused("matmul: shapes do not fit: float32[2, 3] by float32[3, 4] into float32[2, 3]", a, b, Tensor.zeros(arena, DType.FLOAT32, 2, 3));
        refused("batches do not fit", Tensor.zeros(arena, DType.FLOAT32, 2, 2, 3), b, c);
        refused("types differ", a, b, Tensor.zeros(arena, DType.FLOAT64, 2, 4));
        refused("int64: expected a floating-point type", a, b, Tensor.zeros(arena, DType.INT64, 2, 4));
        refused("is no matrix", a, b, Tensor.zeros(arena, DType.FLOAT32, 8));
        refused("not in row-major order", a, b, Tensor.of(c.segment(), DType.FLOAT32, new long[] {2, 4}, new long[] {1, 2}));
        refused("A overlaps the result", Tensor.of(c.segment(), DType.FLOAT32, 2, 3), b, c);
        refused("B overlaps the result", a, b, Tensor.of(b.segment(), DType.FLOAT32, 2, 4));
        refused("read-only", a, b, Tensor.of(c.segment().asReadOnly(), DType.FLOAT32, 2, 4));
        Matrices overlapping = Matrices.strided(b, 0, 2, 2, 2, 2, 3);
        assertTrue(assertThrows(PanoptimException.class, () -> MatrixProduct.of(Matrices.of(a), true, Matrices.of(a), false, overlapping))
                .getMessage().contains("do not fit"));
        Matrices x = Matrices.strided(a, 0, 2, 1, 1, 1, 1);
        assertTrue(assertThrows(PanoptimException.class, () -> MatrixProduct.of(x, false, x, false, Matrices.strided(c, 0, 2, 1, 1, 1, 0)))
                .getMessage().contains("the matrices of the result overlap"));
        assertThrows(PanoptimException.class, () -> Matrices.strided(a, 1, 1, 2, 3, 3, 0));
        assertThrows(PanoptimException.class, () -> Matrices.strided(a, 0, 1, 2, 3, 2, 0));
        assertThrows(PanoptimException.class, () -> Matrices.strided(a, 0, Long.MAX_VALUE, 2, 3, 3, 6));
    }

    @Test
    void memoryIsGuarded() {
        for (Engine engine : TestEngines.multiplying()) {
            Arena own = Arena.ofShared();
            Matrices a = Matrices.of(Tensor.zeros(own, DType.FLOAT32, 2, 2));
            Matrices c = constant(DType.FLOAT32, 5, 2, 2);
            MatrixProduct.Plan plan = engine.matrixProduct(MatrixProduct.of(a, false, a, false, c));
            own.close();
            PanoptimException refused = assertThrows(PanoptimException.class, () -> plan.run(1, 0, Stream.DEFAULT));
            assertEquals(Code.CLOSED, refused.code());
            assertTrue(refused.getMessage().contains("float32[2, 2] lies in an arena that was closed"), refused.getMessage());
            assertEquals(5, get(c, 0, 0, 0));
            plan.close();
            plan.close();
            assertEquals(Code.CLOSED, assertThrows(PanoptimException.class, () -> plan.run(1, 0, Stream.DEFAULT)).code());
            assertEquals(Code.INVALID, assertThrows(PanoptimException.class, () -> engine.matrixProduct(MatrixProduct.of(c, false, c, false,
                    constant(DType.FLOAT32, 5, 2, 2))).run(1, 0, new Stream(3))).code());
        }
    }

    @Test
    void theHeapIsTheReferenceEnginesOnly() {
        Matrices heap = Matrices.of(Tensor.of(MemorySegment.ofArray(new float[4]), DType.FLOAT32, 2, 2));
        Matrices d = constant(DType.FLOAT32, 1, 2, 2);
        run(TestEngines.reference(), MatrixProduct.of(heap, false, heap, false, d), 1, 0);
        assertEquals(0, get(d, 0, 1, 1));
        try (CpuEngine engine = TestEngines.open(tier(), 1, 16)) {
            assertTrue(assertThrows(PanoptimException.class, () -> engine.matrixProduct(MatrixProduct.of(heap, false, heap, false, d)))
                    .getMessage().contains("Java heap"));
        }
    }

    // ---- Help

    private void refused(String message, Tensor a, Tensor b, Tensor c) {
        PanoptimException refused = assertThrows(PanoptimException.class, () -> Linalg.matmul(a, b, c));
        assertTrue(refused.getMessage().contains(message), refused.getMessage());
    }

    /** One that multiplies, or the test is skipped. */
    private static Isa tier() {
        return TestEngines.multiplyingTiers().stream().findFirst().orElseGet(() -> abort("there is no OpenBLAS here"));
    }

    /** Random matrices with gaps after each row and between each other. */
    private Matrices padded(DType dtype, long batch, long rows, long columns) {
        long leading = columns + 3;
        long stride = rows * leading + 5;
        return Matrices.strided(filled(Tensor.zeros(arena, dtype, 2 + batch * stride)), 2, batch, rows, columns, leading, stride);
    }

    private Tensor filled(Tensor tensor) {
        for (long i = 0; i < tensor.elements(); i++) {
            tensor.set(i, random.nextGaussian());
        }
        return tensor;
    }

    private Matrices constant(DType dtype, double value, long rows, long columns) {
        Tensor tensor = Tensor.zeros(arena, dtype, rows, columns);
        for (long i = 0; i < tensor.elements(); i++) {
            tensor.set(i, value);
        }
        return Matrices.of(tensor);
    }

    private static void run(Engine engine, MatrixProduct product, double alpha, double beta) {
        try (MatrixProduct.Plan plan = engine.matrixProduct(product)) {
            plan.run(alpha, beta, Stream.DEFAULT);
        }
    }

    /** Runs a product on every tier, with one thread and with several, on CUDA, and on the reference engine; what lies around stays. */
    private void compare(MatrixProduct product, double alpha, double beta) {
        double[] before = everything(product.d());
        double[] c = everything(product.c());
        run(TestEngines.reference(), product, alpha, beta);
        double[] expected = everything(product.d());
        for (Isa isa : TestEngines.multiplyingTiers()) {
            for (int threads : new int[] {1, 2, 3, 8}) {
                set(product.d(), before);
                run(ENGINES.computeIfAbsent(isa + " " + threads, key -> TestEngines.open(isa, threads, 16)), product, alpha, beta);
                assertNear(product, expected, isa + ", " + threads + " threads");
            }
        }
        for (Engine cuda : TestEngines.mirrors()) {
            set(product.d(), before);
            run(cuda, product, alpha, beta);
            assertNear(product, expected, cuda.description());
        }
        set(product.d(), before);
        set(product.c(), c);
    }

    private static void assertNear(MatrixProduct product, double[] expected, String what) {
        double[] found = everything(product.d());
        double unit = product.d().dtype() == DType.FLOAT64 ? 0x1p-52 : 0x1p-23;
        // Half types may be rounded to the other neighbour.
        double last = product.d().dtype() == DType.BFLOAT16 ? 0x1p-7 : product.d().dtype() == DType.FLOAT16 ? 0x1p-10 : unit;
        // Elements are near 1, and so are the factors: a sum of n products errs by less than n units of its size.
        double bound = 4 * unit * (product.inner() + 8) * Math.sqrt(product.inner() + 1);
        for (int i = 0; i < expected.length; i++) {
            int element = i;
            assertEquals(expected[i], found[i], bound + last * Math.abs(expected[i]), () -> product + ", " + what + ", element " + element);
        }
    }

    private static void mirror(Matrices matrices) {
        for (long matrix = 0; matrix < matrices.batch(); matrix++) {
            for (long i = 0; i < matrices.rows(); i++) {
                for (long j = 0; j < i; j++) {
                    matrices.tensor(matrix).set(matrices.start(matrix) + j * matrices.leading() + i, get(matrices, matrix, i, j));
                }
            }
        }
    }

    private static double get(Matrices matrices, long matrix, long row, long column) {
        return matrices.tensor(matrix).get(matrices.start(matrix) + row * matrices.leading() + column);
    }

    private static double[] everything(Matrices matrices) {
        return matrices.tensors().stream().flatMapToDouble(tensor -> LongStream.range(0, tensor.elements()).mapToDouble(tensor::get)).toArray();
    }

    private static void set(Matrices matrices, double[] values) {
        int next = 0;
        for (Tensor tensor : matrices.tensors()) {
            for (long i = 0; i < tensor.elements(); i++) {
                tensor.set(i, values[next++]);
            }
        }
    }
}
