package io.panoptim.engine;

import java.util.List;

/**
 * The sums that a rule takes in a pass of its own before its update. They are the same bits whatever the order in which
 * the parts of a tensor are visited, and on every engine ({@code kernels/leaf.h}).
 *
 * @param over what each sum is taken over
 * @param flag only where a row has this flag; 0: always
 * @param columns the columns that are read for it, by bit
 * @param sums their names
 * @param reduced the names of what follows from them: further scalars of the update
 */
public record RuleSums(Over over, int flag, int columns, List<String> sums, List<String> reduced) {
    /** What a sum is taken over. */
    public enum Over {
        /** All elements of a tensor. */
        TENSOR,
        /** The elements of each row, where the first dimension counts rows. */
        ROW,
        /** All elements of all tensors. */
        GLOBAL
    }

    /** Whether a row asks for the sums. */
    public boolean isAsked(Rows rows, int row) {
        return (rows.flags(row) & flag) == flag;
    }

    /** Whether one of the first rows does. */
    public boolean isAskedByAny(Rows rows, int count) {
        for (int row = 0; row < count; row++) {
            if (isAsked(rows, row)) {
                return true;
            }
        }
        return false;
    }
}
