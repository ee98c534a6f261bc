package io.panoptim.engine.cpu;

import io.panoptim.engine.HostProduct;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.ffi.panoptim_product;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** A matrix product as the native library reads it. */
final class CpuProduct extends HostProduct {
    private final CpuEngine engine;
    private final Arena arena = Arena.ofShared();
    private final List<GuardedCall> parts;

    CpuProduct(CpuEngine engine, MatrixProduct product) {
        super(engine, product, false);
        ProductStructures.checkSizes(product);
        this.engine = engine;
        MemorySegment[] addresses = ProductStructures.addresses(product, arena);
        this.parts = GuardedCall.cut(product.d().batch(), (matrix, each) -> ProductStructures.tensors(product, matrix, each),
                (first, end) -> part(addresses, first, end));
    }

    /** A {@code panoptim_product} of some of the matrices. */
    private MemorySegment part(MemorySegment[] addresses, long begin, long end) {
        MemorySegment structure = panoptim_product.allocate(arena);
        ProductStructures.fill(structure, product(), addresses, begin, end, 0);
        return structure;
    }

    @Override
    protected void multiply(double alpha, double beta, double gamma) {
        for (GuardedCall part : parts) {
            ProductStructures.factors(part.subject(), alpha, beta, gamma);
        }
        engine.multiply(parts, this::checkAccessible);
    }

    @Override
    protected void free() {
        arena.close();
    }
}
