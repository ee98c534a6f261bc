package io.panoptim.engine.reference;

import io.panoptim.engine.Rows;

/**
 * What followed from the sums, for each row: further scalars of the update, by their names' numbers.
 *
 * @param values by row, without the row's other scalars
 */
record Reduced(double[][] values) {
    void set(int row, int scalar, double value) {
        values[row][scalar - Rows.SCALARS] = value;
    }

    /** The same where there is one row. */
    void set(int scalar, double value) {
        set(0, scalar, value);
    }
}
