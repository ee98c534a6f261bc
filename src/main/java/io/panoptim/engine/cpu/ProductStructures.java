package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.ffi.panoptim_product;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Matrix products as the native library reads them. */
final class ProductStructures {
    private ProductStructures() {}

    /** Refuses what is too large for BLAS. */
    static void checkSizes(MatrixProduct product) {
        long largest = Math.max(Math.max(product.d().rows(), product.d().columns()), product.inner());
        for (Matrices matrices : product.operands()) {
            largest = Math.max(largest, matrices.leading());
        }
        if (largest > Integer.MAX_VALUE) {
            throw PanoptimException.unsupported("matmul", "BLAS counts in 32 bits, and a side or a distance between rows is " + largest
                    + ": cut the matrices into blocks");
        }
    }

    /** For each operand the addresses of its matrices. */
    static MemorySegment[] addresses(MatrixProduct product, Arena arena) {
        return product.operands().stream().map(matrices -> addresses(matrices, product.d().batch(), arena)).toArray(MemorySegment[]::new);
    }

    private static MemorySegment addresses(Matrices matrices, long batch, Arena arena) {
        MemorySegment addresses = arena.allocate(ValueLayout.JAVA_LONG, batch);
        for (long i = 0; i < batch; i++) {
            addresses.setAtIndex(ValueLayout.JAVA_LONG, i, matrices.address(matrices.batch() == 1 ? 0 : i));
        }
        return addresses;
    }

    /**
     * Fills a {@code panoptim_product} in for some matrices of the batch.
     *
     * @param following how many products there are behind it
     */
    static void fill(MemorySegment structure, MatrixProduct product, MemorySegment[] addresses, long begin, long end, int following) {
        panoptim_product.size(structure, (int) panoptim_product.sizeof());
        panoptim_product.dtype(structure, product.d().dtype().ordinal());
        panoptim_product.flags(structure, (product.transposeA() ? panoptim_h.PANOPTIM_TRANSPOSE_A() : 0)
                | (product.transposeB() ? panoptim_h.PANOPTIM_TRANSPOSE_B() : 0)
                | (product.symmetric() ? panoptim_h.PANOPTIM_SYMMETRIC() : 0));
        panoptim_product.following(structure, following);
        panoptim_product.batch(structure, end - begin);
        panoptim_product.rows(structure, product.d().rows());
        panoptim_product.columns(structure, product.d().columns());
        panoptim_product.inner(structure, product.inner());
        for (int i = 0; i < addresses.length; i++) {
            panoptim_product.leading(structure, i, product.operands().get(i).leading());
            panoptim_product.addresses(structure, i, addresses[i].asSlice(begin * ValueLayout.JAVA_LONG.byteSize()));
        }
    }

    /** The factors of its products, of C and of the identity. */
    static void factors(MemorySegment structure, double alpha, double beta, double gamma) {
        panoptim_product.alpha(structure, alpha);
        panoptim_product.beta(structure, beta);
        panoptim_product.gamma(structure, gamma);
    }

    /** Names all that a matrix of the batch takes part in. */
    static void tensors(MatrixProduct product, long matrix, Consumer<@Nullable Tensor> each) {
        for (Matrices matrices : product.operands()) {
            each.accept(matrices.tensor(matrices.batch() == 1 ? 0 : matrix));
        }
    }
}
