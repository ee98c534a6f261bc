package io.panoptim.tools.replay;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.panoptim.checkpoint.SafeTensors;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ComparisonTest {
    @TempDir
    private Path folder;

    @ParameterizedTest
    @CsvSource({"FLOAT32, 1, 1.0000001, 1", "FLOAT32, 0, -0.0, 1", "FLOAT32, -1e-45, 1e-45, 3", "FLOAT32, -1, -1.0000001, 1",
        "FLOAT32, Infinity, 3.4028235e38, 1", "FLOAT32, -Infinity, Infinity, 4278190081", "FLOAT64, 1, 1.0000000000000002, 1",
        "FLOAT64, -Infinity, Infinity, 18437736874454810625", "BFLOAT16, 1, 1.0078125, 1", "BFLOAT16, 0, -0.0, 1",
        "FLOAT16, 1, 1.0009765625, 1", "FLOAT16, Infinity, 65504, 1", "UINT8, 255, 1, 254",
        "INT64, -1, 2, 3"})
    void countsUlps(DType dtype, double expected, double found, String ulps) {
        assertEquals("x: 1 of 1 values differ, largest difference " + ulps + " ulp", line(dtype, expected, found));
        assertEquals("x: 1 of 1 values differ, largest difference " + ulps + " ulp", line(dtype, found, expected));
        assertEquals("x: 0 of 1 values differ, largest difference 0 ulp", line(dtype, found, found));
    }

    @ParameterizedTest
    @CsvSource({"FLOAT32, 7fc00000, ffc12345", "FLOAT64, 7ff8000000000000, fff0000000000001", "BFLOAT16, 7fc0, ff81",
        "FLOAT16, 7e00, fc01"})
    void anyNaNEqualsAnyOtherButNoNumber(DType dtype, String one, String other) {
        Tensor a = bits(dtype, one);
        Tensor b = bits(dtype, other);
        assertEquals("x: 0 of 1 values differ, largest difference 0 ulp", line(a, b));
        Tensor number = Tensor.of(MemorySegment.ofArray(new byte[8]), dtype, 1);
        number.set(0, Double.POSITIVE_INFINITY);
        String different = "x: 1 of 1 values differ, largest difference 0 ulp, 1 NaN on one side only";
        assertEquals(different, line(a, number));
        assertEquals(different, line(number, b));
    }

    @Test
    void namesWhatIsMissingExtraOrOfAnotherKind() {
        Path file = folder.resolve("expected");
        SafeTensors.write(file, Map.of("gone", floats(1), "typed", Tensor.of(MemorySegment.ofArray(new byte[8]), DType.FLOAT64, 1),
                "shaped", floats(1, 2)), Map.of());
        try (SafeTensors expected = SafeTensors.open(file)) {
            Comparison comparison = Comparison.of(new TreeMap<>(Map.of("extra", floats(1), "typed", floats(1), "shaped",
                    Tensor.of(MemorySegment.ofArray(new float[2]), DType.FLOAT32, 2, 1))), expected);
            assertEquals(List.of("extra: not expected", "shaped: expected F32[2], found F32[2, 1]",
                    "typed: expected F64[1], found F32[1]", "gone: missing from the result"), comparison.lines());
            assertEquals(List.of("extra", "shaped", "typed", "gone"), comparison.differing());
        }
    }

    private String line(DType dtype, double expected, double found) {
        Tensor a = Tensor.of(MemorySegment.ofArray(new byte[8]), dtype, 1);
        Tensor b = Tensor.of(MemorySegment.ofArray(new byte[8]), dtype, 1);
        a.set(0, expected);
        b.set(0, found);
        return line(a, b);
    }

    private String line(Tensor expected, Tensor found) {
        Path file = folder.resolve("expected");
        SafeTensors.write(file, Map.of("x", expected), Map.of());
        try (SafeTensors open = SafeTensors.open(file)) {
            return Comparison.of(Map.of("x", found), open).lines().getFirst();
        }
    }

    private static Tensor bits(DType dtype, String hex) {
        long value = Long.parseUnsignedLong(hex, 16);
        return Tensor.of(MemorySegment.ofBuffer(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN)
                .putLong(0, value)), dtype, 1);
    }

    private static Tensor floats(float... values) {
        return Tensor.of(MemorySegment.ofArray(values), DType.FLOAT32, values.length);
    }
}
