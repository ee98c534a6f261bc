package io.panoptim.tensor;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;

class TensorTest {
    private final MemorySegment segment = MemorySegment.ofArray(new byte[64]);

    @Test
    void wrapsTheBeginningOfASegmentWithoutCopying() {
        Tensor tensor = Tensor.of(segment, DType.FLOAT64, 2, 3);
        tensor.set(5, 7);
        assertEquals(7, DType.FLOAT64.get(segment, 5));
        assertEquals(48, tensor.bytes());
        assertArrayEquals(new long[] {3, 1}, tensor.strides());
        assertEquals("float64[2, 3]", tensor.toString());
        assertEquals(1, Tensor.of(segment, DType.FLOAT32).elements());
        assertEquals(0, Tensor.of(segment, DType.FLOAT32, 3, 0, 5).elements());
    }

    @Test
    void layoutsAreEqualWhereItMatters() {
        Tensor rowMajor = Tensor.of(segment, DType.FLOAT32, 2, 3);
        Tensor columnMajor = Tensor.of(segment, DType.FLOAT32, new long[] {2, 3}, new long[] {1, 2});
        assertTrue(rowMajor.sameShape(columnMajor));
        assertFalse(rowMajor.sameLayout(columnMajor));
        assertTrue(Tensor.of(segment, DType.FLOAT32, new long[] {1, 3}, new long[] {99, 1})
                .sameLayout(Tensor.of(segment, DType.FLOAT32, 1, 3)));
    }

    @Test
    void transposedTensorsShareMemoryAndRowMajorOnesMayBeCopies() {
        Tensor tensor = Tensor.of(segment, DType.FLOAT32, 2, 3, 2);
        for (int i = 0; i < 12; i++) {
            tensor.set(i, i);
        }
        Tensor transposed = tensor.transposed();
        assertArrayEquals(new long[] {2, 3, 2}, transposed.shape());
        assertArrayEquals(new long[] {1, 2, 6}, transposed.strides());
        assertEquals(7, transposed.get(7));
        Tensor copy = transposed.rowMajor(Arena.ofAuto());
        assertTrue(copy.isRowMajor());
        assertArrayEquals(new float[] {0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11}, copy.segment().toArray(ValueLayout.JAVA_FLOAT));
        assertSame(tensor, tensor.rowMajor(Arena.ofAuto()));
        assertSame(tensor.segment(), transposed.segment());
    }

    @Test
    void refusesWhatDoesNotFit() {
        refused("needs 68 bytes, the segment has 64", () -> Tensor.of(segment, DType.FLOAT32, 17));
        refused("negative size", () -> Tensor.of(segment, DType.FLOAT32, -1));
        refused("2 dimensions, but 1 strides", () -> Tensor.of(segment, DType.FLOAT32, new long[] {2, 2}, new long[] {1}));
        refused("leave gaps or overlap", () -> Tensor.of(segment, DType.FLOAT32, new long[] {2, 2}, new long[] {1, 1}));
        refused("leave gaps or overlap", () -> Tensor.of(segment, DType.FLOAT32, new long[] {4}, new long[] {2}));
        refused("3 values do not fill the shape", () -> Tensor.of(Arena.ofAuto(), new float[3], 2, 2));
        refused("more bytes than can be addressed", () -> Tensor.of(segment, DType.FLOAT32, 1L << 40, 1L << 40));
        refused("the CPU's memory is wrapped", () -> Tensor.ofAddress(64, this, Device.cpu(), DType.FLOAT32, 1));
        assertEquals(0, Tensor.of(segment, DType.FLOAT32, 1L << 40, 1L << 40, 0).elements());
    }

    @Test
    void aDevicesMemoryCannotBeReadHere() {
        Tensor tensor = Tensor.ofAddress(1L << 40, this, Device.cuda(1), DType.BFLOAT16, 8);
        assertEquals(1L << 40, tensor.address());
        refused("lies on cuda:1", () -> tensor.get(0));
        refused("only floating-point tensors", () -> Parameter.of(Tensor.of(segment, DType.UINT8, 4)));
    }
}
