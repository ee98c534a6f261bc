package io.panoptim.tensor;

import io.panoptim.PanoptimException;
import java.util.Arrays;

/**
 * A gradient of some rows of a tensor, as torch's sparse (COO) gradients of embeddings: row {@code indices[k]} of the tensor has
 * the gradient {@code values[k]}. The indices may come in any order; what is given for a repeated one adds up, in the order given.
 *
 * @param indices int64, of shape {@code [n]}; a step refuses what is not a row of the tensor
 * @param values of shape {@code [n, ...]}, where ... is the tensor's shape without its first dimension; row-major
 */
public record SparseGradient(Tensor indices, Tensor values) {
    /** Refuses tensors that do not belong together. */
    public SparseGradient {
        String call = "SparseGradient";
        if (indices.dtype() != DType.INT64 || indices.shape().length != 1) {
            throw PanoptimException.invalid(call, "the indices are " + indices + ": expected int64, of one dimension");
        }
        if (!values.dtype().isFloatingPoint() || values.shape().length == 0 || !values.isRowMajor()) {
            throw PanoptimException.invalid(call, "the values are " + values
                    + ": expected a floating-point type, a first dimension of one row for each index, and row-major order");
        }
        if (indices.elements() != values.shape()[0]) {
            throw PanoptimException.invalid(call, "indices and values must have same nnz, but got nnz from indices: "
                    + indices.elements() + ", nnz from values: " + values.shape()[0]);
        }
        if (!indices.device().equals(values.device())) {
            throw PanoptimException.invalid(call, "the indices lie on " + indices.device() + ", the values on " + values.device()
                    + ": they must share a device");
        }
    }

    /**
     * Refuses to be the gradient of a tensor that has other rows.
     *
     * @param call for the message
     */
    public void checkFits(String call, Tensor value) {
        if (!values.device().equals(value.device())) {
            throw PanoptimException.invalid(call, "the gradient lies on " + values.device() + ", the value on " + value.device()
                    + ": they must share a device");
        }
        if (values.dtype() != value.dtype()) {
            throw PanoptimException.invalid(call, "the gradient's values are " + values.dtype() + ", the value " + value.dtype()
                    + ": they must share a type");
        }
        long[] shape = value.shape();
        if (shape.length == 0 || !Arrays.equals(shape, 1, shape.length, values.shape(), 1, values.shape().length)) {
            throw PanoptimException.invalid(call, "the gradient's values " + values + " are not rows of the value " + value
                    + ": they must have its shape in all dimensions but the first");
        }
        if (!value.isRowMajor()) {
            throw PanoptimException.invalid(call, "the value " + value + " is not row-major: its rows do not lie together");
        }
    }

    /**
     * Refuses indices that are not rows; on the CPU only, where an index is read at a time.
     *
     * @param call for the message
     * @param rows how many there are
     */
    public void checkIndices(String call, long rows) {
        checkIndices(call, indices, rows);
    }

    /** The same for a copy of a gradient's indices. */
    public static void checkIndices(String call, Tensor indices, long rows) {
        for (long i = 0; i < indices.elements(); i++) {
            long index = (long) indices.get(i);
            if (index < 0) {
                throw PanoptimException.invalid(call, "found negative index " + index + " for dim 0");
            }
            if (index >= rows) {
                throw PanoptimException.invalid(call, "size is inconsistent with indices: for dim 0, size is " + rows
                        + " but found index " + index);
            }
        }
    }

    /** The number of indices, repeated ones counted each time. */
    public long count() {
        return indices.elements();
    }

    /** The gradient of the first of its indices, where they lie: what is filled of a buffer, or with 0 a gradient of no row. */
    public SparseGradient first(long newCount) {
        return new SparseGradient(indices.firstRows(newCount), values.firstRows(newCount));
    }
}
