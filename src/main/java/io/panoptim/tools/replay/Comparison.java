package io.panoptim.tools.replay;

import io.panoptim.checkpoint.SafeTensors;
import io.panoptim.checkpoint.TensorInfo;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * How tensors differ from those of a file, bit by bit: any NaN equals any other, and -0 is not +0.
 *
 * @param lines one for each tensor on either side, for people
 * @param differing the names of the tensors that differ, are missing or were not expected
 */
record Comparison(List<String> lines, List<String> differing) {
    static Comparison of(Map<String, Tensor> found, SafeTensors expected) {
        Comparison comparison = new Comparison(new ArrayList<>(), new ArrayList<>());
        Map<String, TensorInfo> missing = new LinkedHashMap<>(expected.tensors());
        found.forEach((name, tensor) -> {
            TensorInfo info = missing.remove(name);
            if (info == null) {
                comparison.add(name, true, "not expected");
            } else if (!sameKind(info, tensor)) {
                comparison.add(name, true, "expected " + info + ", found " + tensor.dtype().safetensorsName()
                        + Arrays.toString(tensor.shape()));
            } else {
                comparison.compare(name, expected.tensor(name), tensor);
            }
        });
        missing.keySet().forEach(name -> comparison.add(name, true, "missing from the result"));
        return comparison;
    }

    private static boolean sameKind(TensorInfo info, Tensor tensor) {
        return info.type().dtype().equals(Optional.of(tensor.dtype()))
                && info.shape().equals(Arrays.stream(tensor.shape()).boxed().toList());
    }

    private void compare(String name, Tensor expected, Tensor found) {
        long infinity = infinity(found.dtype());
        long differing = 0;
        long oneNaN = 0;
        long ulps = 0;
        for (long i = 0; i < found.elements(); i++) {
            long a = place(found.dtype(), expected.segment(), i);
            long b = place(found.dtype(), found.segment(), i);
            boolean aNaN = a > infinity || a < ~infinity;
            boolean bNaN = b > infinity || b < ~infinity;
            if (a != b && !(aNaN && bNaN)) {
                differing++;
                if (aNaN || bNaN) {
                    oneNaN++;
                } else {
                    long distance = Math.max(a, b) - Math.min(a, b); // up to 2^64 - 1
                    ulps = Long.compareUnsigned(distance, ulps) > 0 ? distance : ulps;
                }
            }
        }
        add(name, differing > 0, differing + " of " + found.elements() + " values differ, largest difference "
                + Long.toUnsignedString(ulps) + " ulp" + (oneNaN == 0 ? "" : ", " + oneNaN + " NaN on one side only"));
    }

    private void add(String name, boolean differs, String how) {
        lines.add(name + ": " + how);
        if (differs) {
            differing.add(name);
        }
    }

    /** A value's place among all values of its type: neighbours are 1 apart, -0.0 is -1 and +0.0 is 0. */
    private static long place(DType dtype, MemorySegment segment, long index) {
        long bits = switch (dtype.bytes()) {
            case 1 -> Byte.toUnsignedLong(segment.get(ValueLayout.JAVA_BYTE, index));
            case 2 -> segment.get(ValueLayout.JAVA_SHORT_UNALIGNED, index * 2);
            case 4 -> segment.get(ValueLayout.JAVA_INT_UNALIGNED, index * 4);
            default -> segment.get(ValueLayout.JAVA_LONG_UNALIGNED, index * 8);
        };
        return bits < 0 && dtype.isFloatingPoint() ? ~(bits & (1L << dtype.bytes() * 8 - 1) - 1) : bits;
    }

    /** The place of infinity, beyond which lie the NaNs. */
    private static long infinity(DType dtype) {
        return switch (dtype) {
            case FLOAT32 -> Float.floatToRawIntBits(Float.POSITIVE_INFINITY);
            case FLOAT64 -> Double.doubleToRawLongBits(Double.POSITIVE_INFINITY);
            case BFLOAT16 -> Float.floatToRawIntBits(Float.POSITIVE_INFINITY) >>> 16;
            case FLOAT16 -> Float.floatToFloat16(Float.POSITIVE_INFINITY);
            case UINT8, INT64, INT16 -> Long.MAX_VALUE;
        };
    }
}
