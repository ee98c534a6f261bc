package io.panoptim.tensor;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Element types; the order is that of the native constants in {@code kernels/table.h}. */
public enum DType {
    FLOAT32(4, "F32", "float32") {
        @Override
        public double get(MemorySegment segment, long index) {
            return segment.get(FLOAT, index * 4);
        }

        @Override
        public void set(MemorySegment segment, long index, double value) {
            segment.set(FLOAT, index * 4, (float) value);
        }
    },
    FLOAT64(8, "F64", "float64") {
        @Override
        public double get(MemorySegment segment, long index) {
            return segment.get(DOUBLE, index * 8);
        }

        @Override
        public void set(MemorySegment segment, long index, double value) {
            segment.set(DOUBLE, index * 8, value);
        }
    },
    BFLOAT16(2, "BF16", "bfloat16") {
        @Override
        public double get(MemorySegment segment, long index) {
            return Float.intBitsToFloat(segment.get(SHORT, index * 2) << 16);
        }

        @Override
        public void set(MemorySegment segment, long index, double value) {
            segment.set(SHORT, index * 2, toBfloat16((float) value));
        }
    },
    FLOAT16(2, "F16", "float16") {
        @Override
        public double get(MemorySegment segment, long index) {
            return Float.float16ToFloat(segment.get(SHORT, index * 2));
        }

        @Override
        public void set(MemorySegment segment, long index, double value) {
            segment.set(SHORT, index * 2, Float.floatToFloat16((float) value));
        }
    },
    /** Codes of block-quantised states. */
    UINT8(1, "U8", "uint8") {
        @Override
        public double get(MemorySegment segment, long index) {
            return Byte.toUnsignedInt(segment.get(ValueLayout.JAVA_BYTE, index));
        }

        @Override
        public void set(MemorySegment segment, long index, double value) {
            segment.set(ValueLayout.JAVA_BYTE, index, (byte) value);
        }
    },
    /** Row indices, and counts that torch keeps as integers; as doubles they are exact up to 2^53. */
    INT64(8, "I64", "int64") {
        @Override
        public double get(MemorySegment segment, long index) {
            return segment.get(LONG, index * 8);
        }

        @Override
        public void set(MemorySegment segment, long index, double value) {
            segment.set(LONG, index * 8, (long) value);
        }
    },
    /** What a bfloat16 value lacks of its float32 master. */
    INT16(2, "I16", "int16") {
        @Override
        public double get(MemorySegment segment, long index) {
            return segment.get(SHORT, index * 2);
        }

        @Override
        public void set(MemorySegment segment, long index, double value) {
            segment.set(SHORT, index * 2, (short) value);
        }
    };

    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;

    private final int bytes;
    private final String safetensorsName;
    private final String torchName;

    DType(int bytes, String safetensorsName, String torchName) {
        this.bytes = bytes;
        this.safetensorsName = safetensorsName;
        this.torchName = torchName;
    }

    /** Bytes per element. */
    public int bytes() {
        return bytes;
    }

    /** The name in a safetensors file, such as {@code F32}. */
    public String safetensorsName() {
        return safetensorsName;
    }

    public boolean isFloatingPoint() {
        return this != UINT8 && this != INT64 && this != INT16;
    }

    /** The type in which elements of this type are computed with: float64 for itself, float32 for the rest. */
    public DType computeType() {
        return this == FLOAT64 ? FLOAT64 : FLOAT32;
    }

    /** Element {@code index} of a segment, widened exactly. */
    public abstract double get(MemorySegment segment, long index);

    /** Stores a value of the compute type as element {@code index}, rounding once, to the nearest, ties to even. */
    public abstract void set(MemorySegment segment, long index, double value);

    /** torch's name, such as {@code float32}. */
    @Override
    public String toString() {
        return torchName;
    }

    private static short toBfloat16(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            return (short) (bits >>> 16 | 0x40);
        }
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }
}
