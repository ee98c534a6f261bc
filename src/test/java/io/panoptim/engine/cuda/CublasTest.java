package io.panoptim.engine.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.Bits;
import io.panoptim.Command;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Graph;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Stream;
import io.panoptim.engine.cuda.CublasCall.Kind;
import io.panoptim.engine.cuda.CublasCall.Operand;
import io.panoptim.engine.cuda.CudaException.Problem;
import io.panoptim.ffi.cublas;
import io.panoptim.linalg.Linalg;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Where cuBLAS is looked for, what it is told, and how it is used, on a GPU or on its stand-in; {@code MatmulTest} has the products.
 */
class CublasTest {
    private static final CublasCall.Tables NO_TABLES = addresses -> {
        throw new AssertionError("no table is needed");
    };

    private final Arena arena = Arena.ofShared();
    private final Random random = new Random(3);

    @AfterEach
    void close() {
        arena.close();
    }

    // ---- What it is told: column-major, so with the operands swapped

    private static Tensor at(long address, DType dtype, long... shape) {
        return Tensor.ofAddress(address, CublasTest.class, Device.cuda(0), dtype, shape);
    }

    private static Matrices strided(long address, DType dtype, long batch, long rows, long columns, long leading, long stride) {
        return Matrices.strided(at(address, dtype, 1 << 20), 0, batch, rows, columns, leading, stride);
    }

    @Test
    void aProductIsToldWithItsOperandsSwapped() {
        Matrices a = strided(1 << 20, DType.FLOAT64, 1, 3, 5, 7, 0);
        Matrices b = strided(2 << 24, DType.FLOAT64, 1, 4, 5, 9, 0);
        Matrices d = strided(3 << 26, DType.FLOAT64, 1, 3, 4, 6, 0);
        assertEquals(List.of(new CublasCall(Kind.SINGLE, true, false, 4, 3, 5, cublas.PANOPTIM_CUBLAS_R_64F(),
                cublas.PANOPTIM_CUBLAS_COMPUTE_64F(), new Operand(2 << 24, 9, 0), new Operand(1 << 20, 7, 0), new Operand(3 << 26, 6, 0), 1)),
                CublasCall.of(MatrixProduct.of(a, false, b, true, d), 1, NO_TABLES));
    }

    @Test
    void batchesAtEqualDistancesAreStridedWhereverTheyLie() {
        Matrices one = strided(1 << 20, DType.BFLOAT16, 1, 2, 3, 3, 0);
        Matrices b = strided(2 << 20, DType.BFLOAT16, 3, 3, 4, 4, 100);
        Matrices d = Matrices.of(List.of(at(1000, DType.BFLOAT16, 2, 4), at(1020, DType.BFLOAT16, 2, 4), at(1040, DType.BFLOAT16, 2, 4)));
        assertEquals(List.of(new CublasCall(Kind.STRIDED, false, false, 4, 2, 3, cublas.PANOPTIM_CUBLAS_R_16BF(),
                cublas.PANOPTIM_CUBLAS_COMPUTE_32F(), new Operand(2 << 20, 4, 100), new Operand(1 << 20, 3, 0), new Operand(1000, 4, 10), 3)),
                CublasCall.of(MatrixProduct.of(one, false, b, false, d), 1, NO_TABLES));
    }

    @Test
    void addressesInATableAreThoseThatCublasCanTrust() {
        Matrices a = strided(1 << 20, DType.FLOAT32, 1, 4, 4, 4, 0);
        List<long[]> tables = new ArrayList<>();
        CublasCall.Tables collecting = addresses -> {
            tables.add(addresses);
            return tables.size();
        };
        Matrices aligned = Matrices.of(List.of(at(4096, DType.FLOAT32, 4, 4), at(8192, DType.FLOAT32, 4, 4), at(8256, DType.FLOAT32, 4, 4)));
        List<CublasCall> calls = CublasCall.of(MatrixProduct.of(a, false, a, false, aligned), 1, collecting);
        assertEquals(List.of(Kind.POINTERS), calls.stream().map(CublasCall::kind).toList());
        assertEquals(new Operand(3, 4, 0), calls.getFirst().c());
        assertArrayEquals(new long[] {1 << 20, 1 << 20, 1 << 20}, tables.getFirst());
        assertArrayEquals(new long[] {4096, 8192, 8256}, tables.get(2));

        Matrices odd = Matrices.of(List.of(at(4096, DType.FLOAT32, 4, 4), at(8196, DType.FLOAT32, 4, 4), at(9000, DType.FLOAT32, 4, 4)));
        calls = CublasCall.of(MatrixProduct.of(a, false, a, false, odd), 1, NO_TABLES);
        assertEquals(List.of(new Operand(4096, 4, 0), new Operand(8196, 4, 0), new Operand(9000, 4, 0)),
                calls.stream().map(CublasCall::c).toList());
        assertTrue(calls.stream().allMatch(call -> call.kind() == Kind.SINGLE && call.batch() == 1));
    }

    @Test
    void aLargeSymmetricProductIsMadeDownToTheDiagonal() {
        Matrices a = strided(1 << 20, DType.FLOAT32, 2, 700, 10, 11, 10000);
        Matrices d = strided(1 << 27, DType.FLOAT32, 2, 700, 700, 701, 500000);
        MatrixProduct product = new MatrixProduct(a, false, a, true, d, d, true);
        List<CublasCall> panels = CublasCall.of(product, 8, NO_TABLES); // 256 rows each, and two matrices: 8 tiles in the first
        assertEquals(List.of(256L, 256L, 188L), panels.stream().map(CublasCall::n).toList());
        assertEquals(List.of(256L, 512L, 700L), panels.stream().map(CublasCall::m).toList());
        assertEquals(List.of(0L, 256L * 11 * 4, 512L * 11 * 4), panels.stream().map(call -> call.b().address() - (1 << 20)).toList());
        assertEquals(List.of(0L, 256L * 701 * 4, 512L * 701 * 4), panels.stream().map(call -> call.c().address() - (1 << 27)).toList());
        assertEquals(1, CublasCall.of(product, 9, NO_TABLES).size()); // they would not fill it
    }

    @Test
    void tf32IsTakenOnRequest() {
        Matrices a = strided(1 << 20, DType.FLOAT32, 1, 4, 4, 4, 0);
        MatrixProduct product = MatrixProduct.of(a, false, a, false, strided(1 << 24, DType.FLOAT32, 1, 4, 4, 4, 0));
        assertEquals(cublas.PANOPTIM_CUBLAS_COMPUTE_32F(), CublasCall.of(product, 1, NO_TABLES).getFirst().compute());
        assertEquals(cublas.PANOPTIM_CUBLAS_COMPUTE_32F_FAST_TF32(),
                CublasCall.of(product.withTf32(true), 1, NO_TABLES).getFirst().compute());
    }

    // ---- Where it is

    @Test
    void everyPlaceTriedIsNamed(@TempDir Path folder) throws Exception {
        Files.createFile(folder.resolve("libcublas.so.11"));
        List<String> tried = new ArrayList<>();
        String before = System.getProperty(CublasLibrary.PATH_PROPERTY);
        System.setProperty(CublasLibrary.PATH_PROPERTY, folder + ":/nowhere");
        try {
            assertTrue(CublasLibrary.find(11, tried).isEmpty());
        } finally {
            restore(CublasLibrary.PATH_PROPERTY, before);
        }
        assertTrue(tried.getFirst().startsWith(folder + "/libcublas.so.11 (from -Dpanoptim.cublas.path): cannot be loaded: "), tried.getFirst());
        assertEquals("/nowhere/libcublas.so.11 (from -Dpanoptim.cublas.path): no such file", tried.get(1));
        assertEquals("libcublas.so.11: not among the system's libraries", tried.get(2));
        assertTrue(tried.contains("/usr/local/cuda/lib64/libcublas.so.11 (a toolkit): no such file"), tried.toString());
        assertTrue(tried.getLast().startsWith("libcublas.so.11: not in Python's packages (nvidia-cublas) in ["), tried.getLast());
    }

    @Test
    void anotherLibraryOfItsNameIsRefused(@TempDir Path folder) throws Exception {
        Files.copy(Path.of(System.getProperty("java.home"), "lib", "libzip.so"), folder.resolve("libcublas.so.11"));
        List<String> tried = new ArrayList<>();
        String before = System.getProperty(CublasLibrary.PATH_PROPERTY);
        System.setProperty(CublasLibrary.PATH_PROPERTY, folder.toString());
        try {
            assertTrue(CublasLibrary.find(11, tried).isEmpty());
        } finally {
            restore(CublasLibrary.PATH_PROPERTY, before);
        }
        assertTrue(tried.getFirst().endsWith("libcublas.so.11 has no cublasGetStatusName: cuBLAS of CUDA 12 or newer has it"), tried.getFirst());
    }

    @Test
    void toolkitsAndPythonsFoldersAreFound(@TempDir Path home) throws Exception {
        assertEquals(List.of(Path.of("/one/lib64"), Path.of("/two/lib64"), Path.of("/usr/local/cuda/lib64"), Path.of("/usr/local/cuda-12/lib64")),
                LibrarySearch.toolkits(12, Map.of("CUDA_HOME", "/one", "CUDA_PATH", "/two")));
        Path python = Files.createDirectories(home.resolve("bin")).resolve("python3");
        Files.createFile(python).toFile().setExecutable(true);
        List<Path> installations = List.copyOf(LibrarySearch.installations(Map.of("VIRTUAL_ENV", "/env", "PATH", "/none:" + home + "/bin"), "/user"));
        assertEquals(List.of(Path.of("/env/lib"), home.resolve("lib"), Path.of("/user/.local/lib"), Path.of("/usr/local/lib"), Path.of("/usr/lib")),
                installations);
        Path one = Files.createDirectories(home.resolve("lib/python3.12/site-packages/nvidia/cu13/lib"));
        Path other = Files.createDirectories(home.resolve("lib/python3/dist-packages/nvidia/cublas/lib"));
        Files.createDirectories(home.resolve("lib/python3/dist-packages/nvidia/nccl/lib"));
        assertEquals(Set.of(one, other), Set.copyOf(LibrarySearch.packages(home.resolve("lib"))));
    }

    @Test
    void theBindingIsChosenByName() {
        PanoptimException refused = with(Cublas.PROPERTY, "cublasLt", () -> assertThrows(PanoptimException.class, () -> Cublas.open("cuda:0", 13)));
        assertEquals("cuBLAS: -Dpanoptim.cublas=cublasLt: expected ffm or jcublas2", refused.getMessage());
        CudaException old = assertThrows(CudaException.class, () -> Cublas.open("cuda:0", 11));
        assertEquals(Problem.NO_CUBLAS, old.problem());
        assertTrue(old.getMessage().endsWith("tried: cuBLAS 13: the driver is for CUDA 11; cuBLAS 12: the driver is for CUDA 11"), old.getMessage());
    }

    /** NVIDIA's own, where pip or a toolkit has brought it: on a machine without a GPU it says that it cannot start, in its own words. */
    @Test
    void withoutAGpuCublasSaysWhatFailed() throws Exception {
        assumeTrue(!Files.exists(Path.of("/dev/nvidiactl")), "there is a GPU");
        Command main = Command.run(Command.java(), "--enable-native-access=ALL-UNNAMED", "-cp", System.getProperty("java.class.path"),
                CublasMain.class.getName());
        if (main.output().startsWith("none")) {
            abort(main.output());
        }
        assertTrue(main.output().matches("(?s)cuBLAS 1[23]\\.\\d+\\.\\d+, .*: UNAVAILABLE NO_CUBLAS cublasCreate: CUBLAS_STATUS_\\w+ \\(\\d+\\) on "
                + "cuda:0: cuBLAS does not start: .*"), main.output());
    }

    // ---- How it is used

    private Tensor filled(Memory memory, CudaEngine engine, DType dtype, long... shape) {
        Tensor host = Tensor.zeros(arena, dtype, shape);
        for (long i = 0; i < host.elements(); i++) {
            host.set(i, random.nextGaussian());
        }
        Tensor there = memory.zerosLike(host);
        engine.copy(host, there, Stream.DEFAULT);
        return there;
    }

    private Tensor back(CudaEngine engine, Tensor there) {
        Tensor host = Tensor.zeros(arena, there.dtype(), there.shape());
        engine.copy(there, host, Stream.DEFAULT);
        return host;
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64", "BFLOAT16", "FLOAT16"})
    void bothBindingsGiveTheSameBits(DType dtype) {
        TestEngines.cuda();
        if (CublasLibrary.find(JCublas.VERSION, new ArrayList<>()).isEmpty()) {
            abort("JCuda's binding needs cuBLAS 12");
        }
        JCublas.unavailable().ifPresent(reason -> abort(reason));
        try (CudaEngine ffm = CudaEngine.open(0); CudaEngine jcuda = CudaEngine.open(0); Memory memory = ffm.memory()) {
            List<Tensor> anywhere = IntStream.range(0, 3).mapToObj(i -> filled(memory, ffm, dtype, 7 + 10 * i)).toList(); // a gap each
            List<List<Matrices>> products = List.of(
                    List.of(Matrices.of(filled(memory, ffm, dtype, 5, 6)), Matrices.of(filled(memory, ffm, dtype, 7, 6)),
                            Matrices.of(filled(memory, ffm, dtype, 5, 7))),
                    List.of(Matrices.of(filled(memory, ffm, dtype, 3, 5, 6)), Matrices.of(filled(memory, ffm, dtype, 7, 6)),
                            Matrices.of(filled(memory, ffm, dtype, 3, 5, 7))),
                    List.of(new Matrices(anywhere, 0, 1, 1, 6, 6, 0), Matrices.of(filled(memory, ffm, dtype, 7, 6)),
                            Matrices.of(filled(memory, ffm, dtype, 3, 1, 7))));
            for (List<Matrices> product : products) {
                Matrices c = product.get(2);
                Tensor before = back(ffm, c.tensor(0));
                MatrixProduct multiplied = MatrixProduct.of(product.get(0), false, product.get(1), true, c).withTf32(dtype == DType.FLOAT32);
                run(ffm, multiplied);
                Tensor one = back(ffm, c.tensor(0));
                ffm.copy(before, c.tensor(0), Stream.DEFAULT);
                with(Cublas.PROPERTY, "jcublas2", () -> {
                    run(jcuda, multiplied);
                    return one;
                });
                Bits.assertSame(one, back(ffm, c.tensor(0)), multiplied.toString());
                assertFalse(Arrays.equals(new double[] {before.get(0)}, new double[] {one.get(0)}));
            }
        }
    }

    private static void run(CudaEngine engine, MatrixProduct product) {
        try (MatrixProduct.Plan plan = engine.matrixProduct(product)) {
            plan.run(0.75, -1.25, Stream.DEFAULT);
        }
    }

    /** As many as the device has multiprocessors, so that each is made in panels. */
    @Test
    void symmetricProductsInPanelsAreWholeOnes() {
        CudaEngine engine = TestEngines.cuda();
        int batch = engine.context().gpu().multiprocessors();
        try (Memory memory = engine.memory()) {
            Matrices a = Matrices.of(filled(memory, engine, DType.FLOAT32, batch, 9, 257));
            Tensor whole = memory.zeros(DType.FLOAT32, batch, 257, 257);
            Tensor panels = memory.zeros(DType.FLOAT32, batch, 257, 257);
            MatrixProduct symmetric = new MatrixProduct(a, true, a, false, Matrices.of(panels), Matrices.of(panels), true);
            assertEquals(3, CublasCall.of(symmetric, batch, NO_TABLES).size());
            Linalg.matmul(1, a, true, a, false, 0, Matrices.of(whole), Stream.DEFAULT);
            try (MatrixProduct.Plan plan = engine.matrixProduct(symmetric)) {
                plan.run(1, 0, Stream.DEFAULT);
            }
            Tensor expected = back(engine, whole);
            Tensor found = back(engine, panels);
            for (long i = 0; i < expected.elements(); i++) {
                assertEquals(expected.get(i), found.get(i), 1e-4, "element " + i);
            }
        }
    }

    @Test
    void factorsAreRoundedToTf32OnRequestOnly() {
        CudaEngine engine = TestEngines.cuda();
        try (Memory memory = engine.memory()) {
            Tensor a = memory.zeros(DType.FLOAT32, 64, 64);
            Tensor d = memory.zeros(DType.FLOAT32, 64, 64);
            engine.fill(a, 1 + 0x1p-12, Stream.DEFAULT);
            MatrixProduct product = MatrixProduct.of(Matrices.of(a), false, Matrices.of(a), false, Matrices.of(d));
            try (MatrixProduct.Plan plan = engine.matrixProduct(product)) {
                plan.run(1, 0, Stream.DEFAULT);
            }
            assertEquals(64 + 0x1p-5, back(engine, d).get(0), 0x1p-12);
            assumeTrue(engine.context().gpu().major() >= 8, "the GPU has no TF32");
            try (MatrixProduct.Plan plan = engine.matrixProduct(product.withTf32(true))) {
                plan.run(1, 0, Stream.DEFAULT);
            }
            assertEquals(64, back(engine, d).get(0));
        }
    }

    /** Captured work is given no memory that work outside of it uses, and the stand-in for cuBLAS refuses to make its own. */
    @Test
    void aCapturedProductIsRepeatedWithMemoryOfItsOwnAndRefusedWhenItsPlanIsClosed() {
        CudaEngine engine = TestEngines.cuda();
        try (Memory memory = engine.memory(); CudaStream capturing = engine.newStream(); CudaStream other = engine.newStream()) {
            Tensor a = filled(memory, engine, DType.FLOAT32, 20, 20);
            Tensor d = memory.zeros(DType.FLOAT32, 20, 20);
            MatrixProduct.Plan plan = engine.matrixProduct(new MatrixProduct(Matrices.of(a), false, Matrices.of(a), true, Matrices.of(d),
                    Matrices.of(d), true));
            plan.run(0.5, 0, 3, Stream.DEFAULT);
            Tensor expected = back(engine, d);
            engine.fill(d, Double.NaN, Stream.DEFAULT);
            engine.synchronize(Stream.DEFAULT);
            try (Graph graph = engine.capture(capturing.stream(), () -> plan.run(0.5, 0, 3, capturing.stream()))) {
                assertTrue(Double.isNaN(back(engine, d).get(0)));
                for (CudaStream stream : new CudaStream[] {capturing, other}) {
                    graph.replay(stream.stream());
                    stream.synchronize();
                    Bits.assertSame(expected, back(engine, d), "replayed");
                    engine.fill(d, Double.NaN, Stream.DEFAULT);
                    engine.synchronize(Stream.DEFAULT);
                }
                plan.close();
                PanoptimException refused = assertThrows(PanoptimException.class, () -> graph.replay(other.stream()));
                assertEquals(Code.CLOSED, refused.code());
            }
        }
    }

    @Test
    void whatItsStandInRefusesNamesCallCodeAndDevice() {
        CudaEngine engine = TestEngines.cuda();
        assumeTrue(TestEngines.isCudaSlow(), "the tests run on a GPU");
        CublasLibrary library = CublasLibrary.find(13, new ArrayList<>()).orElseThrow();
        CudaException start = assertThrows(CudaException.class, () -> FfmCublas.open(library, "cuda:0")); // in no context
        assertEquals(Problem.NO_CUBLAS, start.problem());
        assertEquals(1, start.result());
        assertTrue(start.getMessage().startsWith("cublasCreate: CUBLAS_STATUS_NOT_INITIALIZED (1) on cuda:0: cuBLAS does not start"),
                start.getMessage());
        engine.within(() -> {
            Cublas cublas = FfmCublas.open(library, "cuda:0");
            CublasCall wrong = new CublasCall(Kind.SINGLE, false, false, 4, 4, 4, 0, 68, new Operand(0, 3, 0), new Operand(0, 4, 0),
                    new Operand(0, 4, 0), 1);
            CudaException refused = assertThrows(CudaException.class, () -> cublas.run(List.of(wrong), 1, 0, 0, 0, 0));
            assertTrue(refused.getMessage().startsWith("cublasGemmEx: CUBLAS_STATUS_INVALID_VALUE (7) on cuda:0: "), refused.getMessage());
            assertEquals(Problem.CUBLAS, refused.problem());
            cublas.close();
        });
    }

    private static void restore(String property, String before) {
        if (before == null) {
            System.clearProperty(property);
        } else {
            System.setProperty(property, before);
        }
    }

    private static <T> T with(String property, String value, Supplier<T> work) {
        String before = System.getProperty(property);
        System.setProperty(property, value);
        try {
            return work.get();
        } finally {
            restore(property, before);
        }
    }
}
