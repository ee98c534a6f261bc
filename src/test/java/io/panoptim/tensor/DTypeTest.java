package io.panoptim.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.ffi.panoptim_h;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;

class DTypeTest {
    private final MemorySegment element = MemorySegment.ofArray(new byte[8]);

    @Test
    void theOrderIsThatOfTheNativeConstants() {
        assertEquals(List.of(panoptim_h.PANOPTIM_FLOAT32(), panoptim_h.PANOPTIM_FLOAT64(), panoptim_h.PANOPTIM_BFLOAT16(),
                panoptim_h.PANOPTIM_FLOAT16(), panoptim_h.PANOPTIM_UINT8(), panoptim_h.PANOPTIM_INT64()), List.of(DType.FLOAT32.ordinal(),
                DType.FLOAT64.ordinal(), DType.BFLOAT16.ordinal(), DType.FLOAT16.ordinal(), DType.UINT8.ordinal(),
                DType.INT64.ordinal()));
    }

    @Test
    void everyHalfValueSurvivesARoundTrip() {
        for (DType half : List.of(DType.BFLOAT16, DType.FLOAT16)) {
            for (int bits = 0; bits < 1 << 16; bits++) {
                element.set(ValueLayout.JAVA_SHORT_UNALIGNED, 0, (short) bits);
                double value = half.get(element, 0);
                half.set(element, 0, value);
                if (Double.isNaN(value)) {
                    assertTrue(Double.isNaN(half.get(element, 0)));
                } else {
                    assertEquals((short) bits, element.get(ValueLayout.JAVA_SHORT_UNALIGNED, 0));
                }
            }
        }
    }

    @Test
    void bfloat16RoundsToNearestEvenAndKeepsNanAndInfinity() {
        assertEquals(1.0, rounded(DType.BFLOAT16, 1 + 0x1p-8), "a tie goes to even");
        assertEquals(1 + 0x1p-6, rounded(DType.BFLOAT16, 1 + 0x3p-8), "a tie goes to even");
        assertEquals(1 + 0x1p-7, rounded(DType.BFLOAT16, 1 + 0x1.01p-8));
        assertEquals(Double.POSITIVE_INFINITY, rounded(DType.BFLOAT16, Float.MAX_VALUE));
        assertEquals(Double.NEGATIVE_INFINITY, rounded(DType.BFLOAT16, Double.NEGATIVE_INFINITY));
        assertTrue(Double.isNaN(rounded(DType.BFLOAT16, Float.intBitsToFloat(0x7f800001))));
        assertEquals("-0.0", "" + rounded(DType.BFLOAT16, -0.0));
    }

    private double rounded(DType dtype, double value) {
        dtype.set(element, 0, value);
        return dtype.get(element, 0);
    }
}
