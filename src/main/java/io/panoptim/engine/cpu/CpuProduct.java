package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.engine.HostProduct;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.ffi.panoptim_product;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** A matrix product as the native library reads it. */
final class CpuProduct extends HostProduct {
    private static final List<DType> TYPES = List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16);

    /**
     * Consecutive matrices that lie in no more arenas than a native call can guard; nearly always all of them.
     *
     * @param product a {@code panoptim_product}
     * @param guards one segment for each arena, then NULLs
     */
    record Part(MemorySegment product, MemorySegment[] guards) {}

    private final CpuEngine engine;
    private final Arena arena = Arena.ofShared();
    private final BlasLibrary blas;
    private final List<Part> parts = new ArrayList<>();

    CpuProduct(CpuEngine engine, BlasLibrary blas, MatrixProduct product) {
        super(engine, product, false);
        this.engine = engine;
        this.blas = blas;
        MatrixProduct p = product;
        long largest = Math.max(Math.max(p.d().rows(), p.d().columns()), p.inner());
        for (Matrices matrices : operands()) {
            largest = Math.max(largest, matrices.leading());
        }
        if (largest > Integer.MAX_VALUE) {
            throw PanoptimException.unsupported("matmul", "BLAS counts in 32 bits, and a side or a distance between rows is " + largest
                    + ": cut the matrices into blocks");
        }
        MemorySegment[] addresses = operands().stream().map(this::addresses).toArray(MemorySegment[]::new);
        cut(addresses);
    }

    private MemorySegment addresses(Matrices matrices) {
        long batch = product().d().batch();
        MemorySegment addresses = arena.allocate(ValueLayout.JAVA_LONG, batch);
        for (long i = 0; i < batch; i++) {
            addresses.setAtIndex(ValueLayout.JAVA_LONG, i, matrices.address(matrices.batch() == 1 ? 0 : i));
        }
        return addresses;
    }

    private void cut(MemorySegment[] addresses) {
        long batch = product().d().batch();
        Set<MemorySegment.Scope> guarded = new HashSet<>();
        List<MemorySegment> guards = new ArrayList<>();
        long first = 0;
        for (long matrix = 0; matrix < batch; matrix++) {
            List<MemorySegment> more = unguarded(matrix, guarded);
            if (guards.size() + more.size() > CpuParts.GUARDS) {
                parts.add(part(addresses, first, matrix, guards));
                first = matrix;
                guards.clear();
                guarded.clear();
                more = unguarded(matrix, guarded);
            }
            more.forEach(segment -> guarded.add(segment.scope()));
            guards.addAll(more);
        }
        parts.add(part(addresses, first, batch, guards));
    }

    private List<MemorySegment> unguarded(long matrix, Set<MemorySegment.Scope> guarded) {
        List<MemorySegment> segments = new ArrayList<>();
        Set<MemorySegment.Scope> seen = new HashSet<>(guarded);
        for (Matrices matrices : operands()) {
            Tensor tensor = matrices.tensor(matrices.batch() == 1 ? 0 : matrix);
            if (CpuParts.closeable(tensor.segment()) && seen.add(tensor.segment().scope())) {
                segments.add(tensor.segment());
            }
        }
        return segments;
    }

    private Part part(MemorySegment[] addresses, long begin, long end, List<MemorySegment> guards) {
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
            panoptim_product.leading(shape, i, operands().get(i).leading());
            panoptim_product.addresses(shape, i, addresses[i].asSlice(begin * ValueLayout.JAVA_LONG.byteSize()));
        }
        return new Part(shape, CpuParts.padded(guards));
    }

    /** The library's functions, for the calls. */
    MemorySegment blas() {
        return blas.functions();
    }

    /** The calls that it takes, in order. */
    List<Part> parts() {
        return parts;
    }

    @Override
    protected void multiply(double alpha, double beta, double gamma) {
        for (Part part : parts) {
            panoptim_product.alpha(part.product(), alpha);
            panoptim_product.beta(part.product(), beta);
            panoptim_product.gamma(part.product(), gamma);
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
