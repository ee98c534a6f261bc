package io.panoptim.tools.train.nn;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Stream;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/** Products of row-major matrices on the Java heap: the reference engine's, whose bits, and so a training's, are the same on every machine. */
final class Products {
    private static final Engine ENGINE = Engines.named("reference");

    private Products() {}

    /** {@code c += a b}, where a is rows × inner, and b inner × columns. */
    static void addProduct(double[] a, double[] b, double[] c, int rows, int inner, int columns) {
        add(matrix(a, rows, inner), false, matrix(b, inner, columns), false, matrix(c, rows, columns));
    }

    /** {@code c += a bᵀ}, where a is rows × inner, and b columns × inner. */
    static void addProductWithTransposed(double[] a, double[] b, double[] c, int rows, int inner, int columns) {
        add(matrix(a, rows, inner), false, matrix(b, columns, inner), true, matrix(c, rows, columns));
    }

    /** {@code c += aᵀ b}, where a is inner × rows, and b inner × columns. */
    static void addTransposedProduct(double[] a, double[] b, double[] c, int rows, int inner, int columns) {
        add(matrix(a, inner, rows), true, matrix(b, inner, columns), false, matrix(c, rows, columns));
    }

    private static void add(Tensor a, boolean transposeA, Tensor b, boolean transposeB, Tensor c) {
        try (MatrixProduct.Plan plan = ENGINE.matrixProduct(MatrixProduct.of(Matrices.of(a), transposeA,
                Matrices.of(b), transposeB, Matrices.of(c)))) {
            plan.run(1, 1, Stream.DEFAULT);
        }
    }

    private static Tensor matrix(double[] values, int rows, int columns) {
        return Tensor.of(MemorySegment.ofArray(values), DType.FLOAT64, rows, columns);
    }
}
