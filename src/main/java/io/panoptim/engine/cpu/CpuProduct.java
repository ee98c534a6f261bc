package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.engine.HostProduct;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.ffi.panoptim_product;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** A matrix product as the native library reads it. */
final class CpuProduct extends HostProduct {
    private final CpuEngine engine;
    private final Arena arena = Arena.ofShared();
    private final BlasLibrary blas;
    private final List<GuardedCall> parts;

    CpuProduct(CpuEngine engine, BlasLibrary blas, MatrixProduct product) {
        super(engine, product, false);
        this.engine = engine;
        this.blas = blas;
        MatrixProduct p = product;
        long largest = Math.max(Math.max(p.d().rows(), p.d().columns()), p.inner());
        for (Matrices matrices : product().operands()) {
            largest = Math.max(largest, matrices.leading());
        }
        if (largest > Integer.MAX_VALUE) {
            throw PanoptimException.unsupported("matmul", "BLAS counts in 32 bits, and a side or a distance between rows is " + largest
                    + ": cut the matrices into blocks");
        }
        MemorySegment[] addresses = product().operands().stream().map(this::addresses).toArray(MemorySegment[]::new);
        this.parts = GuardedCall.cut(p.d().batch(), this::tensors, (first, end) -> part(addresses, first, end));
    }

    private MemorySegment addresses(Matrices matrices) {
        long batch = product().d().batch();
        MemorySegment addresses = arena.allocate(ValueLayout.JAVA_LONG, batch);
        for (long i = 0; i < batch; i++) {
            addresses.setAtIndex(ValueLayout.JAVA_LONG, i, matrices.address(matrices.batch() == 1 ? 0 : i));
        }
        return addresses;
    }

    private void tensors(long matrix, Consumer<@Nullable Tensor> each) {
        for (Matrices matrices : product().operands()) {
            each.accept(matrices.tensor(matrices.batch() == 1 ? 0 : matrix));
        }
    }

    /** A {@code panoptim_product} of some of the matrices. */
    private MemorySegment part(MemorySegment[] addresses, long begin, long end) {
        MatrixProduct p = product();
        MemorySegment shape = panoptim_product.allocate(arena);
        panoptim_product.size(shape, (int) panoptim_product.sizeof());
        panoptim_product.dtype(shape, p.d().dtype().ordinal());
        panoptim_product.flags(shape, (p.transposeA() ? panoptim_h.PANOPTIM_TRANSPOSE_A() : 0)
                | (p.transposeB() ? panoptim_h.PANOPTIM_TRANSPOSE_B() : 0) | (p.symmetric() ? panoptim_h.PANOPTIM_SYMMETRIC() : 0));
        panoptim_product.batch(shape, end - begin);
        panoptim_product.rows(shape, p.d().rows());
        panoptim_product.columns(shape, p.d().columns());
        panoptim_product.inner(shape, p.inner());
        for (int i = 0; i < addresses.length; i++) {
            panoptim_product.leading(shape, i, product().operands().get(i).leading());
            panoptim_product.addresses(shape, i, addresses[i].asSlice(begin * ValueLayout.JAVA_LONG.byteSize()));
        }
        return shape;
    }

    /** The library's functions, for the calls. */
    MemorySegment blas() {
        return blas.functions();
    }

    /** The calls that it takes, in order. */
    List<GuardedCall> parts() {
        return parts;
    }

    @Override
    protected void multiply(double alpha, double beta, double gamma) {
        for (GuardedCall part : parts) {
            panoptim_product.alpha(part.subject(), alpha);
            panoptim_product.beta(part.subject(), beta);
            panoptim_product.gamma(part.subject(), gamma);
        }
        engine.run(this);
    }

    /** Refuses when the memory that it works on is closed, or another thread's. */
    void check() {
        checkAccessible();
    }

    @Override
    protected void free() {
        arena.close();
    }
}
