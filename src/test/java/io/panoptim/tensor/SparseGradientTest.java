package io.panoptim.tensor;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

/** What belongs together as a sparse gradient, and what a parameter takes. */
class SparseGradientTest {
    private static final Arena ARENA = Arena.ofAuto();

    private static Tensor tensor(DType dtype, long... shape) {
        return Tensor.zeros(ARENA, dtype, shape);
    }

    private static SparseGradient gradient(long count, long... row) {
        long[] shape = new long[row.length + 1];
        shape[0] = count;
        System.arraycopy(row, 0, shape, 1, row.length);
        return new SparseGradient(tensor(DType.INT64, count), tensor(DType.FLOAT32, shape));
    }

    @Test
    void partsMustBelongTogether() {
        refused("the indices are float32[3]", () -> new SparseGradient(tensor(DType.FLOAT32, 3), tensor(DType.FLOAT32, 3, 2)));
        refused("the indices are int64[1, 3]", () -> new SparseGradient(tensor(DType.INT64, 1, 3), tensor(DType.FLOAT32, 3, 2)));
        refused("the values are int64[3, 2]", () -> new SparseGradient(tensor(DType.INT64, 3), tensor(DType.INT64, 3, 2)));
        refused("the values are float32[]", () -> new SparseGradient(tensor(DType.INT64, 3), tensor(DType.FLOAT32)));
        refused("got nnz from indices: 3, nnz from values: 2",
                () -> new SparseGradient(tensor(DType.INT64, 3), tensor(DType.FLOAT32, 2, 3)));
        Tensor columns = Tensor.of(ARENA.allocate(24), DType.FLOAT32, new long[] {3, 2}, new long[] {1, 3});
        refused("row-major", () -> new SparseGradient(tensor(DType.INT64, 3), columns));
        refused("the indices lie on cpu, the values on cuda:1", () -> new SparseGradient(tensor(DType.INT64, 3),
                Tensor.ofAddress(64, this, Device.cuda(1), DType.FLOAT32, 3, 2)));
    }

    @Test
    void aParameterHasOneGradientOrTheOther() {
        Parameter parameter = Parameter.of("w", tensor(DType.FLOAT32, 5, 2));
        Tensor dense = tensor(DType.FLOAT32, 5, 2);
        SparseGradient sparse = gradient(3, 2);
        assertSame(sparse, parameter.gradient(dense).sparseGradient(sparse).sparseGradient());
        assertNull(parameter.gradient());
        assertSame(dense, parameter.gradient(dense).gradient());
        assertNull(parameter.sparseGradient());
        assertNull(parameter.sparseGradient(null).gradient());
        assertNull(parameter.sparseGradient(sparse).gradient(null).sparseGradient());
    }

    @Test
    void aParameterRefusesRowsThatAreNotItsOwn() {
        Parameter parameter = Parameter.of("w", tensor(DType.FLOAT32, 5, 2));
        SparseGradient taken = gradient(0, 2);
        parameter.sparseGradient(taken);
        refused("Parameter.sparseGradient 'w': the gradient's values float32[3, 4] are not rows of the value float32[5, 2]",
                () -> parameter.sparseGradient(gradient(3, 4)));
        refused("are not rows", () -> parameter.sparseGradient(gradient(3, 2, 1)));
        refused("are not rows", () -> Parameter.of(tensor(DType.FLOAT32)).sparseGradient(gradient(1)));
        refused("the gradient's values are float32, the value float64",
                () -> Parameter.of(tensor(DType.FLOAT64, 5, 2)).sparseGradient(gradient(3, 2)));
        refused("not row-major", () -> Parameter.of(Tensor.of(ARENA.allocate(40), DType.FLOAT32, new long[] {5, 2},
                new long[] {1, 5})).sparseGradient(gradient(3, 2)));
        refused("the gradient lies on cpu, the value on cuda:1", () -> Parameter.of(
                Tensor.ofAddress(64, this, Device.cuda(1), DType.FLOAT32, 5, 2)).sparseGradient(gradient(3, 2)));
        assertSame(taken, parameter.sparseGradient());
    }

    @Test
    void indicesAreComparedWithTheNumberOfRows() {
        SparseGradient gradient = gradient(2, 2);
        gradient.indices().set(1, 4);
        gradient.checkIndices("here", 5);
        refused("here: size is inconsistent with indices: for dim 0, size is 4 but found index 4", () -> gradient.checkIndices("here", 4));
        gradient.indices().set(0, -1);
        refused("found negative index -1 for dim 0", () -> gradient.checkIndices("here", 5));
    }

    @Test
    void theFirstRowsOfATensorLieWhereItLies() {
        Tensor tensor = tensor(DType.FLOAT32, 4, 3);
        Tensor rows = tensor.firstRows(2);
        rows.set(5, 7);
        assertEquals(7, tensor.get(5));
        assertArrayEquals(new long[] {2, 3}, rows.shape());
        assertEquals(24, rows.segment().byteSize());
        assertEquals(0, tensor.firstRows(0).elements());
        assertEquals(64, Tensor.ofAddress(64, this, Device.cuda(1), DType.FLOAT32, 4, 3).firstRows(2).address());
        refused("there are no 5 rows", () -> tensor.firstRows(5));
        refused("there are no -1 rows", () -> tensor.firstRows(-1));
        refused("there are no 1 rows", () -> tensor(DType.FLOAT32).firstRows(1));
        refused("not row-major", () -> Tensor.of(MemorySegment.ofArray(new float[6]), DType.FLOAT32, new long[] {2, 3},
                new long[] {1, 2}).firstRows(1));
        assertEquals(0, gradient(3, 2).first(0).count());
        assertTrue(tensor.isRowMajor());
        assertTrue(Tensor.of(ARENA.allocate(24), DType.FLOAT32, new long[] {1, 6}, new long[] {9, 1}).isRowMajor());
        assertFalse(Tensor.of(ARENA.allocate(24), DType.FLOAT32, new long[] {3, 2}, new long[] {1, 3}).isRowMajor());
    }
}
