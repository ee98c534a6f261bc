package io.panoptim.engine;

import io.panoptim.tensor.DType;

/**
 * The shape of row-major matrix products {@code C = alpha * op(A) * op(B) + beta * C}, for which an engine prepares a
 * plan and a workspace once.
 *
 * @param rows of C
 * @param columns of C
 * @param inner columns of op(A), rows of op(B)
 * @param batch how many matrices
 * @param transposeA whether op(A) is A transposed
 * @param transposeB whether op(B) is B transposed
 * @param dtype of all three; half types accumulate in float32
 */
public record MatrixProduct(long rows, long columns, long inner, long batch, boolean transposeA, boolean transposeB,
                            DType dtype) {
    /** A prepared product. */
    public interface Plan extends AutoCloseable {
        /** Runs the product on addresses of the engine's device. */
        void run(double alpha, long a, long b, double beta, long c, Stream stream);

        @Override
        void close();
    }
}
