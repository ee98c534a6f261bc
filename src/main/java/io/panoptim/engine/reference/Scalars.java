package io.panoptim.engine.reference;

import io.panoptim.engine.Rows;

/** One row, rounded to the compute type. */
final class Scalars {
    private final double[] scalars = new double[Rows.SCALARS];
    private final int flags;

    Scalars(Rows rows, int row, Arithmetic arithmetic) {
        for (int i = 0; i < scalars.length; i++) {
            scalars[i] = arithmetic.round(rows.get(row, i));
        }
        flags = rows.flags(row);
    }

    double get(int scalar) {
        return scalars[scalar];
    }

    boolean has(int flag) {
        return (flags & flag) != 0;
    }
}
