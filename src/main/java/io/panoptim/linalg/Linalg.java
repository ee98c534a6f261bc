package io.panoptim.linalg;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Stream;
import io.panoptim.tensor.Tensor;

/**
 * Products of row-major matrices, in the memory of any device: float32, float64, and bfloat16 and float16 with float32 accumulation.
 *
 * <p>Shapes, types, devices and overlaps are checked before anything is written ({@link MatrixProduct}). What is multiplied more than
 * once should be planned once, by {@link Engine#matrixProduct}; the calls here plan, run and free.
 */
public final class Linalg {
    private Linalg() {}

    /**
     * {@code C = A B}.
     *
     * @param a row-major, of shape {@code [..., m, k]}; all dimensions but the last two are a batch, of as many matrices everywhere,
     *     or of one for all
     * @param b {@code [..., k, n]}
     * @param c {@code [..., m, n]}, overwritten
     */
    public static void matmul(Tensor a, Tensor b, Tensor c) {
        matmul(1, Matrices.of(a), false, Matrices.of(b), false, 0, Matrices.of(c), Stream.DEFAULT);
    }

    /** {@code C = alpha op(A) op(B) + beta C}, where op may be the transposition, on the best engine for the device. */
    public static void matmul(double alpha, Matrices a, boolean transposeA, Matrices b, boolean transposeB, double beta, Matrices c,
                              Stream stream) {
        run(MatrixProduct.of(a, transposeA, b, transposeB, c), alpha, beta, stream);
    }

    /**
     * {@code C = alpha op(A) op(A)^T + beta C} for a symmetric C: half of the operations of {@link #matmul}.
     *
     * @param transposed whether op(A) is A transposed
     */
    public static void symmetricProduct(double alpha, Matrices a, boolean transposed, double beta, Matrices c, Stream stream) {
        run(new MatrixProduct(a, transposed, a, !transposed, c, c, true), alpha, beta, stream);
    }

    private static void run(MatrixProduct product, double alpha, double beta, Stream stream) {
        try (MatrixProduct.Plan plan = Engines.forDevice(product.d().device()).matrixProduct(product)) {
            plan.run(alpha, beta, stream);
        }
    }
}
