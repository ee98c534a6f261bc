package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Rows;

/** The oracle of {@code kernels/projection.h}: what AdamP and SGDP have in common. */
final class Projection {
    /** The sums of both. */
    private static final int VALUE_GRADIENT = 0;
    private static final int GRADIENT_SQ = 1;
    private static final int VALUE_SQ = 2;
    private static final int VALUE_STEP = 3;
    private static final int SUMS = 4;
    /** What follows from them. */
    private static final int PROJECTED = Rows.SCALARS;
    private static final int RADIAL = Rows.SCALARS + 1;

    private Projection() {}

    static void terms(double p, double g, double step, double[] terms) {
        terms[VALUE_GRADIENT] = p * g;
        terms[GRADIENT_SQ] = g * g;
        terms[VALUE_SQ] = p * p;
        terms[VALUE_STEP] = p * step;
    }

    static void finish(double eps, double delta, long columns, double[][] sums, Reduced reduced) {
        boolean allRows = true;
        double[] whole = new double[SUMS];
        for (double[] row : sums) {
            allRows &= orthogonal(eps, delta, columns, row);
            for (int i = 0; i < SUMS; i++) {
                whole[i] += row[i];
            }
        }
        boolean projected = allRows || orthogonal(eps, delta, sums.length * columns, whole);
        for (int row = 0; row < sums.length; row++) {
            double[] view = allRows ? sums[row] : whole;
            double norm = Math.sqrt(view[VALUE_SQ]) + eps;
            reduced.set(row, PROJECTED, projected ? 1 : 0);
            reduced.set(row, RADIAL, projected ? view[VALUE_STEP] / norm / norm : 0);
        }
    }

    private static boolean orthogonal(double eps, double delta, long elements, double[] sums) {
        double gradient = Math.max(Math.sqrt(sums[GRADIENT_SQ]), eps);
        double value = Math.max(Math.sqrt(sums[VALUE_SQ]), eps);
        return Math.abs(sums[VALUE_GRADIENT] / gradient / value) < delta / Math.sqrt(elements);
    }

    /** The step without its part along the parameters. */
    static double project(Arithmetic a, Scalars h, double p, double step) {
        return a.fma(-h.get(RADIAL), p, step);
    }

    static boolean isProjected(Scalars h) {
        return h.get(PROJECTED) != 0;
    }
}
