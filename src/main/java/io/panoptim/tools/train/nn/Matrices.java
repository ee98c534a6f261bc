package io.panoptim.tools.train.nn;

/**
 * Products of row-major matrices. Each runs along rows in its innermost loop, which the JIT compiler vectorises without
 * changing the order in which an element's terms are added: from the first to the last.
 */
final class Matrices {
    private Matrices() {}

    /** {@code c += a b}, where a is rows × inner, and b inner × columns. */
    static void addProduct(double[] a, double[] b, double[] c, int rows, int inner, int columns) {
        for (int i = 0; i < rows; i++) {
            for (int k = 0; k < inner; k++) {
                addScaled(a[i * inner + k], b, k * columns, c, i * columns, columns);
            }
        }
    }

    /** {@code c += aᵀ b}, where a is inner × rows, and b inner × columns. */
    static void addTransposedProduct(double[] a, double[] b, double[] c, int rows, int inner, int columns) {
        for (int k = 0; k < inner; k++) {
            for (int i = 0; i < rows; i++) {
                addScaled(a[k * rows + i], b, k * columns, c, i * columns, columns);
            }
        }
    }

    /** The transpose of a matrix. */
    static double[] transposed(double[] a, int rows, int columns) {
        double[] transposed = new double[a.length];
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                transposed[j * rows + i] = a[i * columns + j];
            }
        }
        return transposed;
    }

    private static void addScaled(double factor, double[] from, int fromIndex, double[] to, int toIndex, int length) {
        for (int i = 0; i < length; i++) {
            to[toIndex + i] += factor * from[fromIndex + i];
        }
    }
}
