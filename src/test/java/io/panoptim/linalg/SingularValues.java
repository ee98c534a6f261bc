package io.panoptim.linalg;

import java.util.Arrays;

/** Singular values by one-sided Jacobi rotations, in float64. */
public final class SingularValues {
    private SingularValues() {}

    /** The singular values of a row-major matrix, the largest first; as many as the shorter side is long. */
    public static double[] of(double[] matrix, int rows, int columns) {
        int size = Math.min(rows, columns);
        int length = Math.max(rows, columns);
        double[][] vectors = new double[size][length]; // along the longer side: rotations make them orthogonal
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                vectors[rows <= columns ? i : j][rows <= columns ? j : i] = matrix[i * columns + j];
            }
        }
        boolean rotated = true;
        for (int sweep = 0; rotated && sweep < 60; sweep++) {
            rotated = false;
            for (int i = 0; i < size; i++) {
                for (int j = i + 1; j < size; j++) {
                    rotated |= rotate(vectors[i], vectors[j]);
                }
            }
        }
        double[] values = Arrays.stream(vectors).mapToDouble(vector -> Math.sqrt(dot(vector, vector))).sorted().toArray();
        for (int i = 0; i < size / 2; i++) {
            double value = values[i];
            values[i] = values[size - 1 - i];
            values[size - 1 - i] = value;
        }
        return values;
    }

    private static boolean rotate(double[] x, double[] y) {
        double xx = dot(x, x);
        double yy = dot(y, y);
        double xy = dot(x, y);
        if (xy == 0 || Math.abs(xy) <= 1e-15 * Math.sqrt(xx * yy)) {
            return false;
        }
        double tau = (yy - xx) / (2 * xy);
        double t = Math.copySign(1, tau) / (Math.abs(tau) + Math.sqrt(1 + tau * tau));
        double cosine = 1 / Math.sqrt(1 + t * t);
        for (int i = 0; i < x.length; i++) {
            double before = x[i];
            x[i] = cosine * (before - t * y[i]);
            y[i] = cosine * (t * before + y[i]);
        }
        return true;
    }

    private static double dot(double[] x, double[] y) {
        double sum = 0;
        for (int i = 0; i < x.length; i++) {
            sum += x[i] * y[i];
        }
        return sum;
    }
}
