package io.panoptim.engine.cuda;

import io.panoptim.engine.MatrixProduct;
import io.panoptim.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** The launches that a matrix product takes besides cuBLAS. */
final class ProductLaunches {
    private static final long SIZE = 96; // of ProductArguments in kernels/products.cu, whose fields these are:
    private static final long D = 0;
    private static final long C = 8;
    private static final long STRIDE_D = 16;
    private static final long STRIDE_C = 24;
    private static final long LEADING_D = 32;
    private static final long LEADING_C = 40;
    private static final long ROWS = 48;
    private static final long COLUMNS = 56;
    private static final long BATCH = 64;
    private static final long FACTOR = 72;
    private static final long GAMMA = 80;
    private static final long TABLES = 88;

    private static final long THREADS = 256;
    private static final long TILE = 32;
    /** Of a multiprocessor at a time; blocks go on to the next rows or tiles themselves. */
    private static final long BLOCKS = 32;

    private final CudaEngine engine;
    private final String type;
    private final int scaleBlocks;
    private final int identityBlocks;
    private final int mirrorBlocks;
    private final MemorySegment arguments;
    private final MemorySegment pointer;

    ProductLaunches(CudaEngine engine, MatrixProduct product, CublasCall.Tables tables) {
        Arena arena = Arena.ofAuto();
        this.engine = engine;
        this.arguments = arena.allocate(SIZE, 8);
        this.pointer = arena.allocate(ValueLayout.ADDRESS);
        pointer.set(ValueLayout.ADDRESS, 0, arguments);
        DType dtype = product.d().dtype();
        this.type = dtype.toString();
        long batch = product.d().batch();
        long rows = product.d().rows();
        long columns = product.d().columns();
        this.scaleBlocks = blocks(batch * rows);
        this.identityBlocks = blocks((batch * Math.min(rows, columns) + THREADS - 1) / THREADS);
        long tiles = (rows + TILE - 1) / TILE;
        this.mirrorBlocks = blocks(batch * tiles * tiles);
        if (product.d().isEmpty()) {
            return; // and nothing is launched
        }
        long[] d = CublasCall.addresses(product.d(), batch);
        long[] c = CublasCall.addresses(product.c(), batch);
        long strideD = CublasCall.stride(d, dtype);
        long strideC = CublasCall.stride(c, dtype);
        boolean anywhere = strideD < 0 || strideC < 0;
        arguments.set(ValueLayout.JAVA_LONG, D, anywhere ? tables.of(d) : d[0]);
        arguments.set(ValueLayout.JAVA_LONG, C, anywhere ? tables.of(c) : c[0]);
        arguments.set(ValueLayout.JAVA_LONG, STRIDE_D, strideD);
        arguments.set(ValueLayout.JAVA_LONG, STRIDE_C, strideC);
        arguments.set(ValueLayout.JAVA_LONG, LEADING_D, product.d().leading());
        arguments.set(ValueLayout.JAVA_LONG, LEADING_C, product.c().leading());
        arguments.set(ValueLayout.JAVA_LONG, ROWS, rows);
        arguments.set(ValueLayout.JAVA_LONG, COLUMNS, columns);
        arguments.set(ValueLayout.JAVA_LONG, BATCH, batch);
        arguments.set(ValueLayout.JAVA_INT, TABLES, anywhere ? 1 : 0);
    }

    private int blocks(long items) {
        return (int) Math.clamp(items, 1, BLOCKS * engine.context().gpu().multiprocessors());
    }

    /** D = factor * C, which is not read where the factor is 0. */
    void scale(double factor, long stream) {
        arguments.set(ValueLayout.JAVA_DOUBLE, FACTOR, factor);
        launch("scale", scaleBlocks, stream);
    }

    /** D += gamma * I */
    void identity(double gamma, long stream) {
        arguments.set(ValueLayout.JAVA_DOUBLE, GAMMA, gamma);
        launch("identity", identityBlocks, stream);
    }

    /** What is below the diagonal of D is written above it, too; then D += gamma * I. */
    void mirror(double gamma, long stream) {
        arguments.set(ValueLayout.JAVA_DOUBLE, GAMMA, gamma);
        launch("mirror", mirrorBlocks, stream);
    }

    private void launch(String kernel, int blocks, long stream) {
        engine.launch(engine.function(CudaKernels.Source.PRODUCTS, null, "panoptim_product_" + kernel + "_" + type), blocks, pointer, stream);
    }
}
