package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A tensor whose second moments are averages over the rows and columns of its last two dimensions, for each index of those before; or,
 * where there is no average over rows, one for each element. Averages are of the value's compute type.
 *
 * @param name for messages
 * @param value row-major where it is factored
 * @param gradient of the same shape and layout
 * @param rowAverage one element for each row, or null
 * @param columnAverage one for each column; without an average over rows for each element, in memory order
 * @param average of the steps against which values move, one for each element in memory order, or null
 */
public record Factored(String name, Tensor value, Tensor gradient, @Nullable Tensor rowAverage, Tensor columnAverage,
                       @Nullable Tensor average) {
    private static final String CALL = "Engine.factoredStep";

    /** Refuses what does not go together. */
    public Factored {
        checkLayout(name, value);
        if (!gradient.dtype().isFloatingPoint() || gradient.dtype().computeType() != value.dtype().computeType()
                || !gradient.sameLayout(value)) {
            throw PanoptimException.invalid(CALL, "'" + name + "' is " + value + ", its gradient " + gradient + ": expected the same "
                    + "shape and layout, and a type that is computed with likewise");
        }
        DType compute = value.dtype().computeType();
        long matrices = rowAverage == null ? 1 : batch(value);
        check(name, "average over rows", rowAverage, compute, rowAverage == null ? 0 : matrices * rows(value));
        check(name, "average over columns", columnAverage, compute, rowAverage == null ? value.elements() : matrices * columns(value));
        check(name, "average of updates", average, compute, value.elements());
    }

    private static void check(String name, String what, @Nullable Tensor state, DType compute, long elements) {
        if (state != null && (state.dtype() != compute || state.elements() != elements)) {
            throw PanoptimException.invalid(CALL, "the " + what + " of '" + name + "' is " + state + ": expected " + elements
                    + " elements of " + compute);
        }
    }

    /** Whether a tensor has rows and columns. */
    public static boolean isFactored(Tensor value) {
        return value.shape().length >= 2;
    }

    /** Refuses a tensor of two dimensions or more that is not in row-major order. */
    public static void checkLayout(String name, Tensor value) {
        if (isFactored(value) && !value.isRowMajor()) {
            throw PanoptimException.unsupported(CALL, "'" + name + "' is " + value + ", and its second moments are factored by rows and "
                    + "columns: expected row-major order; wrap a column-major matrix as the transposed one");
        }
    }

    private static long batch(Tensor value) {
        return Arrays.stream(value.shape(), 0, value.shape().length - 2).reduce(1, (a, b) -> a * b);
    }

    private static long rows(Tensor value) {
        return value.shape()[value.shape().length - 2];
    }

    private static long columns(Tensor value) {
        return value.shape()[value.shape().length - 1];
    }

    /** How many matrices there are. */
    public long batch() {
        return rowAverage == null ? 1 : batch(value);
    }

    /** The rows of each. */
    public long rows() {
        return rowAverage == null ? 1 : rows(value);
    }

    /** The columns of each. */
    public long columns() {
        return rowAverage == null ? value.elements() : columns(value);
    }

    Factored withGradient(Tensor other) {
        return new Factored(name, value, other, rowAverage, columnAverage, average);
    }

    /** Everything that a step reads or writes. */
    public List<Tensor> tensors() {
        List<Tensor> tensors = new ArrayList<>(List.of(value, gradient));
        tensors.addAll(states());
        return tensors;
    }

    /** The averages that there are. */
    List<Tensor> states() {
        return Stream.of(rowAverage, columnAverage, average).filter(Objects::nonNull).toList();
    }
}
