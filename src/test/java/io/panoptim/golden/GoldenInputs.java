package io.panoptim.golden;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Locale;
import java.util.StringJoiner;
import java.util.stream.LongStream;

/**
 * The inputs of the golden traces, rebuilt, and the hash by which tensors are compared with them. Defined in {@code src/test/golden/README.md};
 * {@code record.py} holds the same in Python. Segments hold little-endian values at any alignment.
 */
public final class GoldenInputs {

    private static final long GAMMA = 0x9E3779B97F4A7C15L;

    /** What the generator knows of a number format; the last three shape {@link Kind#WIDE}. */
    public enum Format {
        FLOAT32(32, 23, 183, 8, 15),
        FLOAT64(64, 52, 1488, 64, 31),
        BFLOAT16(16, 7, 183, 8, 3),
        FLOAT16(16, 10, 22, 2, 7);

        final int width;
        final int mantissa;
        final int wideTop;
        final int tiny;
        final int tinyShift;
        final long sign;
        final long infinity;
        final long nan;

        Format(int width, int mantissa, int wideTop, int tiny, int tinyShift) {
            this.width = width;
            this.mantissa = mantissa;
            this.wideTop = wideTop;
            this.tiny = tiny;
            this.tinyShift = tinyShift;
            sign = 1L << (width - 1);
            infinity = (sign - 1) >>> mantissa << mantissa;
            nan = infinity | 1L << (mantissa - 1);
        }

        /** The format with torch's name for it, as the traces spell it. */
        public static Format of(String dtype) {
            return valueOf(dtype.toUpperCase(Locale.ROOT));
        }

        public int bytes() {
            return width / 8;
        }

        long count(MemorySegment segment) {
            if (segment.byteSize() % bytes() != 0) {
                throw new IllegalArgumentException(segment.byteSize() + " bytes are not a whole number of " + this);
            }
            return segment.byteSize() / bytes();
        }

        long get(MemorySegment segment, long index) {
            return switch (width) {
                case 16 -> Short.toUnsignedLong(segment.get(SHORT, 2 * index));
                case 32 -> Integer.toUnsignedLong(segment.get(INT, 4 * index));
                default -> segment.get(LONG, 8 * index);
            };
        }

        void set(MemorySegment segment, long index, long bits) {
            switch (width) {
                case 16 -> segment.set(SHORT, 2 * index, (short) bits);
                case 32 -> segment.set(INT, 4 * index, (int) bits);
                default -> segment.set(LONG, 8 * index, bits);
            }
        }

        long canonical(long bits) {
            return (bits & (sign - 1)) > infinity ? nan : bits;
        }

        private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
        private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
        private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    }

    /** What a case's values look like. */
    public enum Kind {
        NORMAL,
        WIDE,
        CONSTANT,
        SPECIAL,
        ZERO;

        public static Kind of(String name) {
            return valueOf(name.toUpperCase(Locale.ROOT));
        }
    }

    /** What a tensor is for; the ordinal enters the generator. */
    public enum Stream {
        PARAM,
        GRAD,
        INDEX,
        HESSIAN
    }

    private GoldenInputs() {}

    /**
     * Fills a segment with one tensor's values.
     *
     * @param tensor the tensor's place in the case's list
     * @param step   the step of a gradient or a sample of the Hessian; 0 for a parameter
     */
    public static void fill(MemorySegment target, Format format, Kind kind, long seed, Stream stream, int tensor, int step) {
        long key = word(word(word(seed, stream.ordinal()), tensor), kind == Kind.CONSTANT ? 0 : step);
        boolean special = stream != Stream.PARAM && kind == Kind.SPECIAL && step % 8 == 3;
        long count = format.count(target);
        for (long i = 0; i < count; i++) {
            long w2 = word(key, 3 * i + 2);
            long bits;
            if (kind == Kind.ZERO && stream != Stream.PARAM) {
                bits = 0;
            } else {
                long w0 = word(key, 3 * i);
                long w1 = word(key, 3 * i + 1);
                bits = kind == Kind.WIDE ? wide(format, w0, w1) : normal(format, w0, w1, stream == Stream.PARAM ? -1 : -3);
            }
            long zero = w2 >>> 48;
            if (zero < 4588) { // 5 % +0, 2 % -0
                bits = zero < 3277 ? 0 : format.sign;
            }
            if (special) {
                bits = special(format, (int) (w2 & 127), bits);
            }
            if (stream != Stream.PARAM && i % 13 == 5) { // coordinates that never see a gradient
                bits = 0;
            }
            format.set(target, i, bits);
        }
    }

    /** The rows that a sparse gradient has values for. */
    public static long[] indices(long seed, int tensor, int step, long rows) {
        long key = word(word(word(seed, Stream.INDEX.ordinal()), tensor), step);
        long count = step % 11 == 6 ? 0 : 1 + below(word(key, 0), 2 * rows);
        return LongStream.rangeClosed(1, count).map(i -> below(word(key, i), rows)).toArray();
    }

    private static long below(long word, long n) {
        return (word >>> 32) * n >>> 32;
    }

    /** The hash of a tensor's bits, as the traces write it: 8 hex digits; any NaN counts as any other. */
    public static String hash(MemorySegment values, Format format) {
        long count = format.count(values);
        long total = 0;
        for (long i = 0; i < count; i++) {
            total += word(format.canonical(format.get(values, i)), i);
        }
        return HexFormat.of().toHexDigits(word(total, count) >>> 32, 8);
    }

    /** A tensor's bits as the traces' {@code final} writes them: hex digits, separated by spaces, NaN canonical. */
    public static String hex(MemorySegment values, Format format) {
        StringJoiner result = new StringJoiner(" ");
        long count = format.count(values);
        for (long i = 0; i < count; i++) {
            result.add(HexFormat.of().toHexDigits(format.canonical(format.get(values, i)), format.width / 4));
        }
        return result.toString();
    }

    /** The values whose float32 (8 digits) or float64 bits (16) are written so. */
    public static double[] values(String hex) {
        return Arrays.stream(hex.split(" ")).mapToDouble(digits -> digits.length() == 16
                ? Double.longBitsToDouble(HexFormat.fromHexDigitsToLong(digits))
                : Float.intBitsToFloat(HexFormat.fromHexDigits(digits))).toArray();
    }

    /** Word n of the splitmix64 sequence seeded with a key. */
    static long word(long key, long n) {
        long z = key + (n + 1) * GAMMA;
        z = (z ^ z >>> 30) * 0xBF58476D1CE4E5B9L;
        z = (z ^ z >>> 27) * 0x94D049BB133111EBL;
        return z ^ z >>> 31;
    }

    /** Bell-shaped: a sum of three uniform fields, refined, and cut to the format's precision, so that nothing rounds. */
    private static long normal(Format format, long w0, long w1, int scale) {
        long field = 0x1FFFFF;
        long coarse = (w0 & field) + (w0 >>> 21 & field) + (w0 >>> 42 & field) - (3 << 20);
        int cut = 52 - format.mantissa;
        long fine = ((coarse << 31) + (w1 >>> 33)) >> cut;
        double value = Math.scalb((double) fine, 1 - format.mantissa + scale);
        return switch (format) {
            case FLOAT64 -> Double.doubleToRawLongBits(value);
            case FLOAT32 -> Integer.toUnsignedLong(Float.floatToRawIntBits((float) value));
            case BFLOAT16 -> Float.floatToRawIntBits((float) value) >>> 16;
            case FLOAT16 -> Short.toUnsignedLong(Float.floatToFloat16((float) value));
        };
    }

    /** Random sign and mantissa, exponents spread evenly; some subnormals. */
    private static long wide(Format format, long w0, long w1) {
        long draw = (w1 >>> 48) * (format.wideTop + 1 + format.tiny) >>> 16;
        long exponent = Math.max(draw - format.tiny, 0);
        long mantissa = w0 & ((1L << format.mantissa) - 1);
        if (exponent == 0) {
            mantissa >>>= w1 & format.tinyShift;
        }
        return w0 >>> 63 << (format.width - 1) | exponent << format.mantissa | mantissa;
    }

    private static long special(Format format, int draw, long otherwise) {
        return switch (draw) {
            case 0 -> format.nan;
            case 1 -> format.infinity;
            case 2 -> format.sign | format.infinity;
            case 3 -> format.infinity - 1;
            case 4 -> format.sign | format.infinity - 1;
            default -> otherwise;
        };
    }
}
