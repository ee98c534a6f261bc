package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Rows;

/** One row, rounded to the compute type, and behind its scalars what follows from the rule's sums. */
final class Scalars {
    private final double[] scalars;
    private final int flags;

    Scalars(Rows rows, int row, double[] reduced, Arithmetic arithmetic) {
        scalars = new double[Rows.SCALARS + reduced.length];
        for (int i = 0; i < scalars.length; i++) {
            scalars[i] = arithmetic.round(i < Rows.SCALARS ? rows.get(row, i) : reduced[i - Rows.SCALARS]);
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
