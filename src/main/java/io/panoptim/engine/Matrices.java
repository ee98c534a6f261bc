package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Tensor;
import java.util.List;

/**
 * A batch of row-major matrices of one shape, at equal distances in one tensor's memory or each in a tensor of its own.
 *
 * @param tensors the memory; a tensor's own shape and layout do not matter
 * @param offset where the first matrix begins in each tensor, in elements
 * @param count how many matrices there are in each tensor
 * @param rows of each matrix
 * @param columns of each matrix
 * @param leading from row to row, in elements
 * @param stride from matrix to matrix within a tensor, in elements
 */
public record Matrices(List<Tensor> tensors, long offset, long count, long rows, long columns, long leading, long stride) {
    private static final String CALL = "Matrices";

    /** Refuses what does not lie in the tensors, and tensors that differ in type or device. */
    public Matrices {
        tensors = List.copyOf(tensors);
        if (tensors.isEmpty()) {
            throw PanoptimException.invalid(CALL, "there are no tensors");
        }
        if (offset < 0 || count < 0 || rows < 0 || columns < 0 || leading < Math.max(1, columns) || stride < 0) {
            throw PanoptimException.invalid(CALL, count + " matrices of " + rows + " x " + columns + " from element " + offset
                    + " on, with rows " + leading + " and matrices " + stride + " elements apart: no number may be negative, and "
                    + "rows may not overlap");
        }
        Tensor first = tensors.getFirst();
        if (!first.dtype().isFloatingPoint()) {
            throw PanoptimException.invalid(CALL, "matrices of " + first.dtype() + ": expected a floating-point type");
        }
        long end = count == 0 || rows == 0 || columns == 0 ? 0
                : checkedEnd(offset, count, stride, rows, leading, columns);
        for (Tensor tensor : tensors) {
            if (tensor.dtype() != first.dtype() || !tensor.device().equals(first.device())) {
                throw PanoptimException.invalid(CALL, "one matrix is " + first.dtype() + " on " + first.device() + ", another "
                        + tensor.dtype() + " on " + tensor.device() + ": all must be alike");
            }
            if (end > tensor.elements()) {
                throw PanoptimException.invalid(CALL, "the matrices end at element " + end + ", but the tensor is " + tensor);
            }
        }
    }

    private static long checkedEnd(long offset, long count, long stride, long rows, long leading, long columns) {
        try {
            return Math.addExact(Math.addExact(offset, Math.multiplyExact(count - 1, stride)),
                    Math.addExact(Math.multiplyExact(rows - 1, leading), columns));
        } catch (ArithmeticException tooLarge) {
            throw PanoptimException.invalid(CALL, "the matrices end beyond the largest number of elements");
        }
    }

    /** A tensor's last two dimensions, for each index of those before. */
    public static Matrices of(Tensor tensor) {
        long[] shape = checkedShape(tensor);
        long rows = shape[shape.length - 2];
        long columns = shape[shape.length - 1];
        long count = 1;
        for (int i = 0; i < shape.length - 2; i++) {
            count *= shape[i];
        }
        return new Matrices(List.of(tensor), 0, count, rows, columns, Math.max(1, columns), rows * columns);
    }

    /** One matrix in each of some tensors of equal shape, wherever they lie. */
    public static Matrices of(List<Tensor> tensors) {
        for (Tensor tensor : tensors) {
            if (checkedShape(tensor).length != 2 || !tensor.sameShape(tensors.getFirst())) {
                throw PanoptimException.invalid(CALL, "one tensor is " + tensors.getFirst() + ", another " + tensor
                        + ": expected matrices of one shape");
            }
        }
        if (tensors.isEmpty()) {
            throw PanoptimException.invalid(CALL, "there are no tensors");
        }
        long[] shape = tensors.getFirst().shape();
        return new Matrices(tensors, 0, 1, shape[0], shape[1], Math.max(1, shape[1]), 0);
    }

    /** Matrices at equal distances in a tensor's memory: blocks of larger ones, or a batch; with a stride of 0 one matrix each time. */
    public static Matrices strided(Tensor memory, long offset, long count, long rows, long columns, long leading, long stride) {
        return new Matrices(List.of(memory), offset, count, rows, columns, leading, stride);
    }

    private static long[] checkedShape(Tensor tensor) {
        long[] shape = tensor.shape();
        if (shape.length < 2 || !tensor.isRowMajor()) {
            throw PanoptimException.invalid(CALL, tensor + (shape.length < 2 ? " is no matrix: expected at least two dimensions"
                    : " is not in row-major order: wrap its memory as the transposed matrix, and transpose that in the product"));
        }
        return shape;
    }

    /** Some of the matrices: in one tensor, or whole tensors of several. */
    public Matrices part(long first, long number) {
        if (first < 0 || number < 0 || number > batch() - first || tensors.size() > 1 && (first % count != 0 || number % count != 0)) {
            throw PanoptimException.invalid(CALL, this + " cannot be cut to " + number + " matrices from number " + first + " on");
        }
        return tensors.size() == 1 ? new Matrices(tensors, offset + first * stride, number, rows, columns, leading, stride)
                : new Matrices(tensors.subList((int) (first / count), (int) ((first + number) / count)), offset, count, rows, columns,
                        leading, stride);
    }

    public DType dtype() {
        return tensors.getFirst().dtype();
    }

    public Device device() {
        return tensors.getFirst().device();
    }

    /** How many matrices there are. */
    public long batch() {
        return tensors.size() * count;
    }

    /** Whether there are no elements. */
    public boolean isEmpty() {
        return batch() == 0 || rows == 0 || columns == 0;
    }

    /** The tensor in which a matrix lies. */
    public Tensor tensor(long matrix) {
        return tensors.get((int) (matrix / count));
    }

    /** The element of that tensor, in memory order, with which a matrix begins. */
    public long start(long matrix) {
        return offset + matrix % count * stride;
    }

    /** The address of a matrix; for a heap segment an offset. */
    public long address(long matrix) {
        return tensor(matrix).address() + start(matrix) * dtype().bytes();
    }

    /** The elements from a matrix's first to its last one, those between its rows included. */
    public long extent() {
        return (rows - 1) * leading + columns;
    }

    /** For messages. */
    @Override
    public String toString() {
        return dtype() + "[" + (batch() == 1 ? "" : batch() + ", ") + rows + ", " + columns + "]";
    }
}
