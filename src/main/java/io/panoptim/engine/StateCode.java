package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.util.Arrays;

/**
 * What the bytes of a quantised state stand for, in units of a scale: the largest absolute value of their block or, for FP8, 1/448 of it.
 * Blocks are of {@link #block} elements in memory order, counted from the tensor's element 0. Codes of 8 bits are a tensor of the
 * state's layout; those of 4 bits one dimension of bytes with two each, the first in the upper half, as torchao has them. The oracle of
 * {@code kernels/quantize.h}; in the order of the constants of {@code kernels/table.h}.
 *
 * <p>The scale is stored first, as float32 or rounded to bfloat16, and codes are chosen for it as it is stored, so that nothing
 * overflows or vanishes between the two. A block whose largest absolute value is below the smallest normal float32 is stored as zeros;
 * one with an element that is not finite becomes NaN as a whole. Zero is exact in every code but {@link #LINEAR4_UNSIGNED}.
 */
public enum StateCode {
    /**
     * bitsandbytes' dynamic code of first moments: 256 values from -0.993 to 1, denser near zero, the smallest 5.5e-7. The value nearest
     * to a state is taken, as its binary search does it, without its later correction by which a small negative state is not rounded to
     * zero.
     */
    DYNAMIC_SIGNED(book(true, 7)) {
        @Override
        public int encode(float x, float scale) {
            return nearest(x / scale);
        }
    },
    /** The same of second moments: from 0 to 1, the smallest 3.25e-7. */
    DYNAMIC_UNSIGNED(book(false, 7)) {
        @Override
        public int encode(float x, float scale) {
            return nearest(x / scale);
        }
    },
    /**
     * {@code y / (2 - |y|)} for y in steps of 1/127: FlashOptim's companding. Two's complement. Near zero numbers are 1/253 of the scale
     * apart.
     */
    COMPANDED_SIGNED(values(code -> (float) (byte) code / (254f - Math.abs((byte) code)))) {
        @Override
        public int encode(float x, float scale) {
            float y = x / (0.5f * scale + 0.5f * Math.abs(x));
            return (int) Math.rint(y * 127.0) & 0xff;
        }
    },
    /** {@code y^2} for y in steps of 1/255. What is not zero has at least code 1, lest a denominator becomes zero. */
    COMPANDED_UNSIGNED(values(code -> code * code / 65025f)) {
        @Override
        public int encode(float x, float scale) {
            return x > 0 ? Math.max(1, (int) Math.rint((float) Math.sqrt(x / scale) * 255.0)) : 0;
        }
    },
    /** FP8 e4m3 without infinities, of which the largest is 448: torchao's, in blocks and with scales as it has them. */
    FLOAT8_SIGNED(values(StateCode::float8Value)) {
        @Override
        public int encode(float x, float scale) {
            float y = x / scale;
            return nearestFloat8(Math.abs(y)) | (Float.floatToRawIntBits(y) < 0 ? 0x80 : 0);
        }
    },
    /** The same where what is not zero has at least code 1. In torchao's it vanishes, and the digits are not learned. */
    FLOAT8_UNSIGNED(values(StateCode::float8Value)) {
        @Override
        public int encode(float x, float scale) {
            return x > 0 ? Math.max(1, nearestFloat8(x / scale)) : 0;
        }
    },
    /** torchao's 4-bit code of first moments: bitsandbytes' dynamic one with 16 values, from -0.8875 to 1, the smallest 0.0055. */
    DYNAMIC4_SIGNED(book(true, 3)) {
        @Override
        public int encode(float x, float scale) {
            return rounded(x / scale);
        }
    },
    /** torchao's 4-bit code of second moments: 1/16 to 1, without zero, lest a denominator becomes zero. */
    LINEAR4_UNSIGNED(linear4()) {
        @Override
        public int encode(float x, float scale) {
            return rounded(x / scale);
        }
    };

    /** At multiples of how many elements a tensor with quantised states can be cut: the most that have a scale together. */
    public static final int BLOCK = panoptim_h.PANOPTIM_QUANTIZED_BLOCK();

    private interface ValueOf {
        float value(int code);
    }

    private final float[] values;

    StateCode(float[] values) {
        this.values = values;
    }

    /** The code for a number in a block with a scale that is positive. */
    public abstract int encode(float x, float scale);

    /** What a code stands for. */
    public float decode(int code, float scale) {
        return values[code] * scale;
    }

    /** The code of zero; where there is none, that which a block of zeros is stored as, whose scale is zero. */
    public int zero() {
        return this == DYNAMIC_SIGNED ? 127 : this == DYNAMIC4_SIGNED ? 7 : 0;
    }

    /** Whether a byte has two codes. */
    public boolean isPacked() {
        return this == DYNAMIC4_SIGNED || this == LINEAR4_UNSIGNED;
    }

    /** The number of elements that have a scale together. */
    public int block() {
        return isPacked() ? panoptim_h.PANOPTIM_QUANTIZED_BLOCK4() : BLOCK;
    }

    /** How many bytes the codes of a tensor take. */
    public long bytes(long elements) {
        return isPacked() ? Math.ceilDiv(elements, 2) : elements;
    }

    /** A tensor's bytes where all its elements have one code. */
    public int filling(int code) {
        return isPacked() ? code << 4 | code : code;
    }

    private int code(Tensor codes, long element) {
        return isPacked() ? (int) codes.get(element / 2) >> (element % 2 == 0 ? 4 : 0) & 15 : (int) codes.get(element);
    }

    private void code(Tensor codes, long element, int code) {
        if (!isPacked()) {
            codes.set(element, code);
        } else if (element % 2 == 0) { // its neighbour's comes next, if there is one
            codes.set(element / 2, code << 4);
        } else {
            codes.set(element / 2, (int) codes.get(element / 2) | code);
        }
    }

    /** By which native code knows it. */
    int number() {
        return panoptim_h.PANOPTIM_DYNAMIC_SIGNED() + ordinal();
    }

    /** How many scales a tensor needs. */
    public long blocks(long elements) {
        return Math.ceilDiv(elements, block());
    }

    /**
     * The numbers that some codes stand for, as float32 in the same order.
     *
     * @param codes uint8, in the CPU's memory
     * @param scales one for each block
     * @param first a block's first element
     */
    public float[] dequantize(Tensor codes, Tensor scales, long first, int count) {
        check("dequantize", codes, scales, first, count);
        float[] numbers = new float[count];
        for (int i = 0; i < count; i++) {
            numbers[i] = decode(code(codes, first + i), (float) scales.get((first + i) / block()));
        }
        return numbers;
    }

    /** Stores numbers as codes and scales, from a block's first element on; the last block may be the tensor's last, which is shorter. */
    public void quantize(float[] numbers, Tensor codes, Tensor scales, long first) {
        check("quantize", codes, scales, first, numbers.length);
        for (int begin = 0; begin < numbers.length; begin += block()) {
            int end = Math.min(begin + block(), numbers.length);
            long block = (first + begin) / block();
            scales.set(block, scale(numbers, begin, end));
            if (scales.dtype() == DType.BFLOAT16 && Double.isInfinite(scales.get(block))) {
                scales.set(block, Float.intBitsToFloat(0x7f7f0000));
            }
            float scale = (float) scales.get(block);
            for (int i = begin; i < end; i++) {
                code(codes, first + i, scale > 0 ? encode(numbers[i], scale) : zero());
            }
        }
    }

    private float scale(float[] numbers, int begin, int end) {
        float largest = 0;
        for (int i = begin; i < end; i++) {
            largest = Float.isFinite(numbers[i]) ? Math.max(largest, Math.abs(numbers[i])) : Float.NaN;
            if (Float.isNaN(largest)) {
                return Float.NaN;
            }
        }
        float scale = this == FLOAT8_SIGNED || this == FLOAT8_UNSIGNED ? largest / 448f : largest;
        return scale < Float.MIN_NORMAL ? 0 : scale;
    }

    /** Whole blocks; the last one ends where the codes' bytes do, of which the last one of 4-bit codes may have only one. */
    private void check(String call, Tensor codes, Tensor scales, long first, long count) {
        boolean whole = first % block() == 0 && (count % block() == 0 || bytes(first + count) == codes.elements());
        if (codes.dtype() != DType.UINT8 || !whole || bytes(first + count) > codes.elements()
                || scales.elements() != blocks(isPacked() ? 2 * codes.elements() : codes.elements())) {
            throw PanoptimException.invalid("StateCode." + call, "elements " + first + " to " + (first + count) + " of codes " + codes
                    + " with scales " + scales + " are not whole blocks of " + block());
        }
    }

    /** As torchao's quantize_4bit_with_qmap: of two values that are equally near, in float32, the greater one. */
    int rounded(float x) {
        int code = 0;
        for (int half = 8; half > 0; half /= 2) {
            code += x >= values[code + half] ? half : 0;
        }
        int up = Math.min(code + 1, 15);
        return x - values[code] >= (values[up] - values[code]) * 0.5f ? up : code;
    }

    /** The index of the nearest one of ascending values; of two that are equally near, the even one. */
    int nearest(float x) {
        int code = 0;
        for (int half = 128; half > 0; half /= 2) {
            int lower = code + half - 1;
            float middle = (values[lower] + values[lower + 1]) * 0.5f;
            code += x > middle || x == middle && lower % 2 == 1 ? half : 0;
        }
        return code;
    }

    private static float[] linear4() {
        float[] values = new float[16];
        for (int code = 0; code < values.length; code++) {
            values[code] = (code + 1) / 16f;
        }
        return values;
    }

    private static float[] values(ValueOf valueOf) {
        float[] values = new float[256];
        for (int code = 0; code < values.length; code++) {
            values[code] = valueOf.value(code);
        }
        return values;
    }

    /** A number without its sign: 4 bits of exponent, 3 of fraction. */
    private static float float8(int magnitude) {
        int exponent = magnitude >> 3;
        int fraction = magnitude & 7;
        return exponent == 0 ? Math.scalb((float) fraction, -9) : Math.scalb((float) (8 + fraction), exponent - 10);
    }

    private static float float8Value(int code) {
        return (code < 0x80 ? 1 : -1) * float8(code & 0x7f);
    }

    private static int nearestFloat8(float y) {
        int magnitude = 0;
        while (magnitude < 0x7e && (y > middle(magnitude) || y == middle(magnitude) && magnitude % 2 == 1)) {
            magnitude++;
        }
        return magnitude;
    }

    private static double middle(int magnitude) {
        return ((double) float8(magnitude) + float8(magnitude + 1)) / 2;
    }

    /**
     * bitsandbytes' {@code create_dynamic_map(signed, exponents, exponents + 1)}, in the operations of torch's {@code linspace} on float32.
     */
    private static float[] book(boolean signed, int exponents) {
        float[] values = new float[2 << exponents];
        int size = 0;
        for (int exponent = 0; exponent < exponents; exponent++) {
            int parts = 1 << exponent + (signed ? 0 : 1);
            float[] boundaries = linspace(0.1f, 1, parts + 1);
            for (int i = 0; i < parts; i++) {
                float mean = (boundaries[i] + boundaries[i + 1]) / 2f;
                float value = (float) Math.pow(10, exponent + 1 - exponents) * mean;
                values[size++] = value;
                if (signed) {
                    values[size++] = -value;
                }
            }
        }
        values[size++] = 0;
        values[size] = 1;
        Arrays.sort(values);
        return values;
    }

    private static float[] linspace(float start, float end, int steps) {
        float[] values = new float[steps];
        float step = (end - start) / (steps - 1);
        for (int i = 0; i < steps; i++) {
            values[i] = i < steps / 2 ? Math.fma(step, i, start) : Math.fma(-step, steps - 1 - i, end);
        }
        return values;
    }
}
