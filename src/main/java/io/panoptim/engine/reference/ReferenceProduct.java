package io.panoptim.engine.reference;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.HostProduct;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.tensor.DType;
import java.util.Arrays;

/**
 * The oracle of matrix products: each element of the result is a sum in float64, from the first product to the last one, each added
 * with one rounding (fma); times alpha, plus beta times C with one rounding more, plus gamma; and rounded to the result's type.
 */
final class ReferenceProduct extends HostProduct {
    ReferenceProduct(ReferenceEngine engine, MatrixProduct product) {
        super(engine, product, true);
    }

    @Override
    protected void multiply(double alpha, double beta, double gamma) {
        checkAccessible();
        boolean wide = product().d().dtype() == DType.FLOAT64;
        try {
            for (long matrix = 0; matrix < product().d().batch(); matrix++) {
                multiply(matrix, wide ? alpha : (float) alpha, wide ? beta : (float) beta, wide ? gamma : (float) gamma);
            }
        } catch (IllegalStateException closed) {
            throw new PanoptimException(Code.FAULT, "matmul", "an arena was closed meanwhile", closed);
        }
    }

    private void multiply(long matrix, double alpha, double beta, double gamma) {
        Matrices a = product().a();
        Matrices b = product().b();
        Matrices c = product().c();
        Matrices d = product().d();
        long ofA = a.batch() == 1 ? 0 : matrix;
        long ofB = b.batch() == 1 ? 0 : matrix;
        int inner = alpha == 0 ? 0 : Math.toIntExact(product().inner());
        int columns = Math.toIntExact(d.columns());
        double[][] right = new double[inner][columns];
        for (int k = 0; k < inner; k++) {
            for (int j = 0; j < columns; j++) {
                right[k][j] = product().transposeB() ? get(b, ofB, j, k) : get(b, ofB, k, j);
            }
        }
        double[] sums = new double[columns];
        for (int i = 0; i < d.rows(); i++) {
            int width = product().symmetric() ? i + 1 : columns;
            Arrays.fill(sums, 0);
            for (int k = 0; k < inner; k++) {
                add(product().transposeA() ? get(a, ofA, k, i) : get(a, ofA, i, k), right[k], sums, width);
            }
            for (int j = 0; j < width; j++) {
                double value = beta == 0 ? alpha * sums[j] : Math.fma(beta, get(c, matrix, i, j), alpha * sums[j]);
                value = i == j && gamma != 0 ? value + gamma : value;
                set(d, matrix, i, j, value);
                if (product().symmetric()) {
                    set(d, matrix, j, i, value);
                }
            }
        }
    }

    /** In a loop of its own, which the JIT compiler vectorises. */
    private static void add(double factor, double[] row, double[] sums, int width) {
        for (int j = 0; j < width; j++) {
            sums[j] = Math.fma(factor, row[j], sums[j]);
        }
    }

    private static double get(Matrices matrices, long matrix, long row, long column) {
        return matrices.tensor(matrix).get(matrices.start(matrix) + row * matrices.leading() + column);
    }

    private static void set(Matrices matrices, long matrix, long row, long column, double value) {
        matrices.tensor(matrix).set(matrices.start(matrix) + row * matrices.leading() + column, value);
    }
}
