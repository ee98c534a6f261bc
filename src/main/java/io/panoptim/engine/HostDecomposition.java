package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.tensor.Tensor;
import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * Decompositions in plain Java, in float64 and rounded once: the oracle, and what there is without LAPACK. Eigenvectors by cyclic Jacobi
 * rotations, whose errors are relative to each matrix's norm.
 */
final class HostDecomposition {
    /** Far more than any matrix takes; each sweep squares what is left. */
    private static final int MOST_SWEEPS = 60;

    private final Decomposition decomposition;
    private final int rows;
    private final int columns;

    HostDecomposition(Decomposition decomposition) {
        this.decomposition = decomposition;
        this.rows = Math.toIntExact(decomposition.matrices().rows());
        this.columns = Math.toIntExact(decomposition.matrices().columns());
    }

    void run() {
        for (long matrix = 0; matrix < decomposition.matrices().batch(); matrix++) {
            double[][] a = read(matrix);
            Tensor eigenvalues = decomposition.eigenvalues();
            if (eigenvalues == null) {
                write(matrix, orthonormal(a));
            } else {
                double[][] vectors = eigenvectors(a);
                int[] order = IntStream.range(0, columns).boxed().sorted(Comparator.comparingDouble(i -> a[i][i]))
                        .mapToInt(Integer::intValue).toArray();
                write(matrix, Arrays.stream(vectors).map(row -> Arrays.stream(order).mapToDouble(i -> row[i]).toArray())
                        .toArray(double[][]::new));
                for (int i = 0; i < columns; i++) {
                    eigenvalues.set(matrix * columns + i, a[order[i]][order[i]]);
                }
            }
        }
    }

    private long at(long matrix, int row, int column) {
        return decomposition.matrices().start(matrix) + row * decomposition.matrices().leading() + column;
    }

    private double[][] read(long matrix) {
        Tensor tensor = decomposition.matrices().tensor(matrix);
        boolean symmetric = decomposition.kind() == Decomposition.Kind.EIGEN;
        double[][] a = new double[rows][columns];
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                a[i][j] = tensor.get(symmetric && j > i ? at(matrix, j, i) : at(matrix, i, j));
            }
        }
        return a;
    }

    private void write(long matrix, double[][] a) {
        Tensor tensor = decomposition.matrices().tensor(matrix);
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                tensor.set(at(matrix, i, j), a[i][j]);
            }
        }
    }

    /** As columns; the eigenvalues are left on the diagonal. */
    private double[][] eigenvectors(double[][] a) {
        double[][] vectors = new double[columns][columns];
        double norm = 0;
        for (int i = 0; i < columns; i++) {
            vectors[i][i] = 1;
            for (int j = 0; j < columns; j++) {
                norm = Math.max(norm, Math.abs(a[i][j]));
            }
        }
        for (int sweep = 0; sweep < MOST_SWEEPS; sweep++) {
            boolean rotated = false;
            for (int p = 0; p < columns; p++) {
                for (int q = p + 1; q < columns; q++) {
                    if (Math.abs(a[p][q]) > 0x1p-60 * norm) {
                        rotate(a, vectors, p, q);
                        rotated = true;
                    }
                }
            }
            if (!rotated) {
                return vectors;
            }
        }
        throw new PanoptimException(Code.FAULT, "Engine.decompose", "no eigenvectors of a matrix were found within " + MOST_SWEEPS + " sweeps");
    }

    /** Makes a[p][q] zero. */
    private void rotate(double[][] a, double[][] vectors, int p, int q) {
        double theta = (a[q][q] / 2 - a[p][p] / 2) / a[p][q];
        double t = Math.copySign(1, theta) / (Math.abs(theta) + Math.hypot(theta, 1));
        double c = 1 / Math.sqrt(t * t + 1);
        double s = t * c;
        for (int k = 0; k < columns; k++) {
            double left = a[k][p];
            a[k][p] = c * left - s * a[k][q];
            a[k][q] = s * left + c * a[k][q];
        }
        for (int k = 0; k < columns; k++) {
            double left = a[p][k];
            a[p][k] = c * left - s * a[q][k];
            a[q][k] = s * left + c * a[q][k];
            left = vectors[k][p];
            vectors[k][p] = c * left - s * vectors[k][q];
            vectors[k][q] = s * left + c * vectors[k][q];
        }
        a[p][q] = 0;
        a[q][p] = 0;
    }

    /** Reflections as LAPACK's geqrf makes them, applied to the identity from the last one on. */
    private double[][] orthonormal(double[][] a) {
        double[] factors = new double[columns];
        for (int j = 0; j < columns; j++) {
            raise(a, j);
            double below = 0;
            for (int i = j + 1; i < rows; i++) {
                below = Math.hypot(below, a[i][j]);
            }
            if (below == 0) {
                continue;
            }
            double beta = -Math.copySign(Math.hypot(a[j][j], below), a[j][j]);
            factors[j] = (beta - a[j][j]) / beta;
            double scale = a[j][j] - beta;
            for (int i = j + 1; i < rows; i++) {
                a[i][j] /= scale;
            }
            a[j][j] = beta;
            for (int k = j + 1; k < columns; k++) {
                reflect(a, j, factors[j], a, k);
            }
        }
        double[][] q = new double[rows][columns];
        for (int j = columns - 1; j >= 0; j--) {
            q[j][j] = 1;
            for (int k = j; k < columns; k++) {
                reflect(a, j, factors[j], q, k);
            }
        }
        return q;
    }

    /** Scales what is so small that a reflection would lose digits to underflow; it does not depend on the scale. */
    private void raise(double[][] a, int column) {
        double largest = 0;
        for (int i = column; i < rows; i++) {
            largest = Math.max(largest, Math.abs(a[i][column]));
        }
        for (int i = column; i < rows && largest < 0x1p-500; i++) {
            a[i][column] *= 0x1p600;
        }
    }

    /** Applies a reflection, whose vector lies below the diagonal of a column, to another column. */
    private void reflect(double[][] a, int reflection, double factor, double[][] to, int column) {
        double sum = to[reflection][column];
        for (int i = reflection + 1; i < rows; i++) {
            sum += a[i][reflection] * to[i][column];
        }
        sum *= factor;
        to[reflection][column] -= sum;
        for (int i = reflection + 1; i < rows; i++) {
            to[i][column] -= a[i][reflection] * sum;
        }
    }
}
