package io.panoptim.bench;

import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Stream;
import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.CpuOptions;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.locks.LockSupport;

/**
 * A planned product on the CPU engine against {@code cblas_sgemm} of the same OpenBLAS, called as from C with as many threads of its
 * own, in turn: {@code MatmulBenchmark THREADS}. Prints operations per second of the fastest of several rounds, and how long a
 * symmetric product takes.
 */
public final class MatmulBenchmark {
    private static final int[][] SHAPES = {{64, 64, 64}, {256, 256, 256}, {768, 768, 768}, {768, 3072, 768}, {768, 768, 3072},
        {2048, 2048, 2048}};
    private static final int ROUNDS = 9;
    private static final long WARM_UP_NANOS = 500_000_000;
    /** Long enough for OpenBLAS's own threads to stop spinning, on the processors that the engine's need; 100 ms are not. */
    private static final long PAUSE_NANOS = 1_000_000_000;

    /** One of what is compared. */
    private interface Product {
        void run() throws Throwable;
    }

    private MatmulBenchmark() {}

    public static void main(String[] arguments) throws Throwable {
        int threads = Integer.parseInt(arguments[0]);
        try (CpuEngine engine = CpuEngine.open(CpuOptions.defaults().withThreads(threads)); Arena arena = Arena.ofShared()) {
            System.out.println(engine.description() + "\n" + engine.blas());
            MethodHandle sgemm = sgemm(Path.of(engine.blas().substring(engine.blas().lastIndexOf(", ") + 2)), threads);
            for (int[] shape : SHAPES) {
                Tensor a = random(arena, shape[0], shape[2]);
                Tensor b = random(arena, shape[2], shape[1]);
                Tensor c = Tensor.zeros(arena, DType.FLOAT32, shape[0], shape[1]);
                Tensor square = Tensor.zeros(arena, DType.FLOAT32, shape[0], shape[0]);
                double work = 2.0 * shape[0] * shape[1] * shape[2];
                int repeats = (int) Math.max(1, 4e7 / work);
                try (MatrixProduct.Plan plan = engine.matrixProduct(MatrixProduct.of(Matrices.of(a), false, Matrices.of(b), false,
                        Matrices.of(c))); MatrixProduct.Plan symmetric = engine.matrixProduct(new MatrixProduct(Matrices.of(a), false,
                        Matrices.of(a), true, Matrices.of(square), Matrices.of(square), true))) {
                    List<Product> products = List.of(
                            () -> {
                                sgemm.invokeExact(101, 111, 111, shape[0], shape[1], shape[2], 1f, a.address(), shape[2], b.address(),
                                        shape[1], 0f, c.address(), shape[1]);
                            },
                            () -> plan.run(1, 0, Stream.DEFAULT),
                            () -> symmetric.run(1, 0, Stream.DEFAULT));
                    double[] best = {1e9, 1e9, 1e9};
                    for (Product product : products) {
                        warmUp(product);
                    }
                    for (int round = 0; round < ROUNDS; round++) {
                        for (int kind = 0; kind < best.length; kind++) {
                            best[kind] = Math.min(best[kind], seconds(products.get(kind), repeats));
                            if (kind == 0 && threads > 1) {
                                LockSupport.parkNanos(PAUSE_NANOS);
                            }
                        }
                    }
                    System.out.printf(Locale.ROOT, "%4d x %4d x %4d: OpenBLAS %6.1f GFLOP/s, planned %6.1f (%.2f of it); %4d x %4d "
                            + "symmetric takes %.2f of the time of a whole one%n", shape[0], shape[2], shape[1],
                            work / best[0] * 1e-9, work / best[1] * 1e-9, best[0] / best[1], shape[0], shape[0], best[2] / best[1] * shape[1] / shape[0]);
                }
            }
        }
    }

    private static void warmUp(Product product) throws Throwable {
        long end = System.nanoTime() + WARM_UP_NANOS;
        do {
            product.run();
        } while (System.nanoTime() < end);
    }

    private static double seconds(Product product, int repeats) throws Throwable {
        product.run(); // wakes the threads
        long start = System.nanoTime();
        for (int i = 0; i < repeats; i++) {
            product.run();
        }
        return (System.nanoTime() - start) * 1e-9 / repeats;
    }

    /** A second copy of the library, with threads of its own. */
    private static MethodHandle sgemm(Path library, int threads) throws IOException, Throwable {
        Path copy = Files.copy(library, Files.createTempDirectory("openblas").resolve("libopenblas-threads.so"));
        copy.toFile().deleteOnExit();
        SymbolLookup symbols = SymbolLookup.libraryLookup(copy, Arena.global());
        Linker linker = Linker.nativeLinker();
        linker.downcallHandle(symbols.findOrThrow("openblas_set_num_threads"), FunctionDescriptor.ofVoid(ValueLayout.JAVA_INT))
                .invokeExact(threads);
        ValueLayout.OfInt integer = ValueLayout.JAVA_INT;
        ValueLayout.OfLong address = ValueLayout.JAVA_LONG;
        return linker.downcallHandle(symbols.findOrThrow("cblas_sgemm"), FunctionDescriptor.ofVoid(integer, integer, integer, integer,
                integer, integer, ValueLayout.JAVA_FLOAT, address, integer, address, integer, ValueLayout.JAVA_FLOAT, address,
                integer));
    }

    private static Tensor random(Arena arena, long rows, long columns) {
        Random random = new Random(rows);
        Tensor tensor = Tensor.zeros(arena, DType.FLOAT32, rows, columns);
        for (long i = 0; i < tensor.elements(); i++) {
            tensor.set(i, random.nextGaussian());
        }
        return tensor;
    }
}
