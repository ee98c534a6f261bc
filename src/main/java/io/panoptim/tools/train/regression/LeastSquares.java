package io.panoptim.tools.train.regression;

import java.util.List;

/** Linear regression without an optimizer, to compare with: the normal equations. */
final class LeastSquares {
    /** A smaller pivot, of columns with a variance of 1, belongs to one that follows from those before. */
    private static final double DEPENDENT = 1e-12;

    private LeastSquares() {}

    /** The least that a linear function of a row's other numbers leaves of its last, over standardised rows. */
    static double halfMeanSquaredError(List<double[]> rows) {
        int size = rows.getFirst().length;
        double[][] products = new double[size][size];
        for (double[] row : rows) {
            for (int i = 0; i < size; i++) {
                for (int j = 0; j < size; j++) {
                    products[i][j] += row[i] * row[j] / rows.size();
                }
            }
        }
        // Eliminating the inputs leaves what they do not explain. Standardised columns need no constant.
        for (int pivot = 0; pivot < size - 1; pivot++) {
            if (products[pivot][pivot] > DEPENDENT) {
                for (int i = pivot + 1; i < size; i++) {
                    double factor = products[i][pivot] / products[pivot][pivot];
                    for (int j = pivot; j < size; j++) {
                        products[i][j] -= factor * products[pivot][j];
                    }
                }
            }
        }
        return products[size - 1][size - 1] / 2;
    }
}
