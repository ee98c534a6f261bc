package io.panoptim.engine;

import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A sparse gradient in a step, of a tensor that has no dense one in it.
 *
 * @param tensor its index in the table
 * @param scalarClass its row of scalars
 * @param gradient rows of the tensor's first dimension
 * @param negated whether it is the gradient of something to be maximized
 * @param summed whether what a repeated index has is added up before it is used; else one is used after the other
 * @param moving null, or {@link #words} int64s with a bit for each row that is stepped even without a gradient, then with zeros;
 *     a step adds the rows that have one
 */
public record RowGradient(int tensor, int scalarClass, SparseGradient gradient, boolean negated, boolean summed,
                          @Nullable Tensor moving) {
    private static final int BITS = Long.SIZE;

    /** Refuses indices that are not rows of the tensor, naming it; on the CPU only. */
    public void checkIndices(String call, Table table) {
        TensorEntry entry = table.entry(tensor);
        gradient.checkIndices(call + " '" + entry.name() + "'", entry.value().shape()[0]);
    }

    /** How many int64s hold a bit for each of some rows. */
    public static long words(long rows) {
        return Math.ceilDiv(rows, BITS);
    }
}
