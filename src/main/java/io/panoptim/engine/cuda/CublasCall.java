package io.panoptim.engine.cuda;

import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.ffi.cublas;
import io.panoptim.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;

/**
 * One call of cuBLAS, {@code C = alpha * op(A) * op(B) + beta * C}, in its terms: matrices are column-major. A row-major matrix, read
 * so, is its own transpose; so that a row-major product {@code D = op(A) op(B)} is made as {@code D^T = op(B)^T op(A)^T}, with the
 * operands swapped and nothing moved.
 *
 * @param kind which of the functions
 * @param transposeA whether its A, our B, is transposed
 * @param transposeB whether its B, our A, is transposed
 * @param m the rows of its C, our columns
 * @param n the columns of its C, our rows
 * @param k what is summed over
 * @param type of all matrices, a {@code cudaDataType}
 * @param compute what products are added up in, a {@code cublasComputeType_t}
 * @param batch how many products
 */
record CublasCall(Kind kind, boolean transposeA, boolean transposeB, long m, long n, long k, int type, int compute, Operand a, Operand b,
                  Operand c, long batch) {
    /** The functions: of one product, of products of matrices at equal distances, and of matrices anywhere. */
    enum Kind { SINGLE, STRIDED, POINTERS }

    /**
     * Matrices.
     *
     * @param address of the first or, for {@link Kind#POINTERS}, on the device of all their addresses
     * @param leading from column to column, in elements
     * @param stride from matrix to matrix, in elements
     */
    record Operand(long address, long leading, long stride) {}

    /** Brings the addresses of matrices to the device. */
    interface Tables {
        /** Where on the device they are then. */
        long of(long[] addresses);
    }

    /**
     * cuBLAS sees a matrix's alignment by its address, and takes a kernel that suits it; of matrices whose addresses lie on the device it
     * expects this.
     */
    private static final long ALIGNMENT = 16;

    /** A tile of the result, one to a multiprocessor at a time. */
    private static final long TILE = 128;
    /** Of rows, in which a symmetric product is made down to the diagonal: 62.5 % of the whole. */
    private static final int PANELS = 4;

    /**
     * What a product takes.
     *
     * @param multiprocessors how many the device has
     */
    static List<CublasCall> of(MatrixProduct product, int multiprocessors, Tables tables) {
        MatrixProduct p = product;
        long batch = p.d().batch();
        long[][] addresses = {addresses(p.a(), batch), addresses(p.b(), batch), addresses(p.d(), batch)};
        long[] strides = new long[addresses.length];
        boolean even = true;
        for (int i = 0; i < addresses.length; i++) {
            strides[i] = stride(addresses[i], p.d().dtype());
            even &= strides[i] >= 0;
        }
        if (even) {
            return panels(p, addresses, strides, multiprocessors);
        }
        boolean aligned = LongStream.of(addresses[0]).allMatch(CublasCall::isAligned)
                && LongStream.of(addresses[1]).allMatch(CublasCall::isAligned) && LongStream.of(addresses[2]).allMatch(CublasCall::isAligned);
        List<CublasCall> calls = new ArrayList<>();
        if (aligned) {
            calls.add(call(p, Kind.POINTERS, p.d().rows(), p.d().columns(), batch, new long[] {tables.of(addresses[0]),
                    tables.of(addresses[1]), tables.of(addresses[2])}, new long[addresses.length]));
        } else {
            for (int i = 0; i < batch; i++) {
                calls.add(call(p, Kind.SINGLE, p.d().rows(), p.d().columns(), 1, new long[] {addresses[0][i], addresses[1][i],
                        addresses[2][i]}, new long[addresses.length]));
            }
        }
        return calls;
    }

    private static boolean isAligned(long address) {
        return address % ALIGNMENT == 0;
    }

    /** The addresses of matrices, the same one again where there is one for the whole batch. */
    static long[] addresses(Matrices matrices, long batch) {
        return LongStream.range(0, batch).map(i -> matrices.address(matrices.batch() == 1 ? 0 : i)).toArray();
    }

    /** The distance from each address to the next one, in elements; -1 if there is no such, or it goes backwards. */
    static long stride(long[] addresses, DType dtype) {
        long bytes = addresses.length == 1 ? 0 : addresses[1] - addresses[0];
        for (int i = 1; i < addresses.length; i++) {
            if (addresses[i] - addresses[i - 1] != bytes) {
                return -1;
            }
        }
        return bytes < 0 ? -1 : bytes / dtype.bytes();
    }

    /** The whole or, of a symmetric product, some rows at a time and each only down to the diagonal, if the smallest still fills the device. */
    private static List<CublasCall> panels(MatrixProduct p, long[][] addresses, long[] strides, int multiprocessors) {
        long rows = p.d().rows();
        long batch = p.d().batch();
        long height = (rows + PANELS - 1) / PANELS + TILE - 1;
        height -= height % TILE;
        long tiles = height / TILE;
        if (!p.symmetric() || height >= rows || batch * tiles * tiles < multiprocessors) {
            height = rows;
        }
        Kind kind = batch == 1 ? Kind.SINGLE : Kind.STRIDED;
        long bytes = p.d().dtype().bytes();
        List<CublasCall> calls = new ArrayList<>();
        for (long first = 0; first < rows; first += height) {
            long end = Math.min(rows, first + height);
            long[] begins = {addresses[0][0] + first * (p.transposeA() ? 1 : p.a().leading()) * bytes, addresses[1][0],
                addresses[2][0] + first * p.d().leading() * bytes};
            calls.add(call(p, kind, end - first, height == rows ? p.d().columns() : end, batch, begins, strides));
        }
        return calls;
    }

    private static CublasCall call(MatrixProduct p, Kind kind, long rows, long columns, long batch, long[] addresses, long[] strides) {
        return new CublasCall(kind, p.transposeB(), p.transposeA(), columns, rows, p.inner(), type(p.d().dtype()), compute(p),
                new Operand(addresses[1], p.b().leading(), strides[1]), new Operand(addresses[0], p.a().leading(), strides[0]),
                new Operand(addresses[2], p.d().leading(), strides[2]), batch);
    }

    private static int type(DType dtype) {
        return switch (dtype) {
            case FLOAT64 -> cublas.PANOPTIM_CUBLAS_R_64F();
            case BFLOAT16 -> cublas.PANOPTIM_CUBLAS_R_16BF();
            case FLOAT16 -> cublas.PANOPTIM_CUBLAS_R_16F();
            default -> cublas.PANOPTIM_CUBLAS_R_32F();
        };
    }

    private static int compute(MatrixProduct p) {
        return switch (p.d().dtype()) {
            case FLOAT64 -> cublas.PANOPTIM_CUBLAS_COMPUTE_64F();
            case FLOAT32 -> p.tf32() ? cublas.PANOPTIM_CUBLAS_COMPUTE_32F_FAST_TF32() : cublas.PANOPTIM_CUBLAS_COMPUTE_32F();
            default -> cublas.PANOPTIM_CUBLAS_COMPUTE_32F();
        };
    }

    /** Whether sums, alpha and beta are float64, else float32. */
    boolean isWide() {
        return compute == cublas.PANOPTIM_CUBLAS_COMPUTE_64F();
    }

    /** Of transposition: a {@code cublasOperation_t}. */
    static int operation(boolean transposed) {
        return transposed ? cublas.PANOPTIM_CUBLAS_OP_T() : cublas.PANOPTIM_CUBLAS_OP_N();
    }
}
