// States of 8 or 4 bits an element: a code for each, and for each block of PANOPTIM_QUANTIZED_BLOCK or PANOPTIM_QUANTIZED_BLOCK4
// elements, counted from the tensor's element 0, the scale that codes are multiples of: the block's largest absolute value, but for
// FP8. The Java twin is io.panoptim.engine.StateCode.
//
// The scale is stored first, as float32 or rounded to bfloat16, and codes are chosen for it as it is stored. A block whose largest
// absolute value is below the smallest normal float32 is stored as zeros; one with an element that is not finite becomes NaN as a
// whole, since its scale does: an overflow is seen instead of hidden.
#pragma once
#include "dynamic_code.h"
#include "half.h"

namespace panoptim {

// Adding it rounds to an integer, to nearest even, that then is in the lower bits.
#define PANOPTIM_TO_INTEGER 12582912.0f

// The scale of a block whose largest absolute value has these bits; bits of a NaN are the largest of all. That of FP8 is 1/448 of it,
// as torchao's.
PANOPTIM_INLINE float scale_of(uint32_t largest, uint32_t dtype) {
    const float nan = from_bits(0x7fc00000u);
    const int float8 = dtype == PANOPTIM_FLOAT8_SIGNED || dtype == PANOPTIM_FLOAT8_UNSIGNED;
    const float scale = from_bits(largest) / (float8 ? 448.0f : 1.0f);
    return largest >= 0x7f800000u ? nan : bits_of(scale) < 0x00800000u ? 0.0f : scale;
}

// The same where it is stored as bfloat16: what would round to infinity is the largest finite number instead.
PANOPTIM_INLINE uint32_t bfloat16_scale(float scale) {
    const uint32_t rounded = to_bfloat16(scale);
    return rounded == 0x7f80u ? 0x7f7fu : rounded;
}

// Companded: y = 2 x / (1 + |x|) in 127 steps to each side, as FlashOptim does, where x is the state in units of the scale. Codes are
// two's complement; 0 is 0, +-127 are the scale. Small ones are 1/253 of the scale apart, the largest 1/64.
struct CompandedSigned {
    PANOPTIM_INLINE static uint32_t code(float x, float scale) {
        const float y = x / (0.5f * scale + 0.5f * abs(x)); // half of either, lest the sum overflows
        return bits_of(fma(y, 127.0f, PANOPTIM_TO_INTEGER)) & 0xffu;
    }
    PANOPTIM_INLINE static float value(uint32_t code, float scale) {
        const float y = (float)(int)(code ^ 0x80u) - 128.0f;
        return y / (254.0f - abs(y)) * scale;
    }
};

// Companded: sqrt(x) in 255 steps. What is not zero has at least code 1: a denominator that became zero would blow the update up.
struct CompandedUnsigned {
    PANOPTIM_INLINE static uint32_t code(float x, float scale) {
        const float positive = x > 0.0f ? x : 0.0f;
        const uint32_t code = bits_of(fma(sqrt(positive / scale), 255.0f, PANOPTIM_TO_INTEGER)) & 0xffu;
        const uint32_t least = bits_of(positive) < 1u ? bits_of(positive) : 1u;
        return code > least ? code : least;
    }
    PANOPTIM_INLINE static float value(uint32_t code, float scale) { return (float)(int)(code * code) / 65025.0f * scale; }
};

// FP8 e4m3 without infinities, in units of the scale, of which its largest number is 448: torchao's.
struct Float8Signed {
    PANOPTIM_INLINE static uint32_t code(float x, float scale) {
        const float y = x / scale;
        const uint32_t bits = bits_of(abs(y));
        const uint32_t normal = (bits + 0x7ffffu + (bits >> 20 & 1u) - (120u << 23)) >> 20;
        const uint32_t subnormal = bits_of(fma(abs(y), 512.0f, PANOPTIM_TO_INTEGER)) & 0xffu;
        const uint32_t magnitude = bits < 0x3c800000u ? subnormal : normal; // 2^-6
        return (magnitude > 0x7eu ? 0x7eu : magnitude) | (bits_of(y) >> 24 & 0x80u);
    }
    PANOPTIM_INLINE static float value(uint32_t code, float scale) {
        const uint32_t magnitude = code & 0x7fu;
        const float subnormal = (float)(int)magnitude * 0x1p-9f;
        const float normal = from_bits((magnitude << 20) + (120u << 23));
        const float y = magnitude < 8u ? subnormal : normal;
        return from_bits(bits_of(y) | (code & 0x80u) << 24) * scale;
    }
};

// The same without a sign, where what is not zero has at least code 1.
struct Float8Unsigned {
    PANOPTIM_INLINE static uint32_t code(float x, float scale) {
        const float positive = x > 0.0f ? x : 0.0f;
        const uint32_t code = Float8Signed::code(positive, scale);
        const uint32_t least = bits_of(positive) < 1u ? bits_of(positive) : 1u;
        return code > least ? code : least;
    }
    PANOPTIM_INLINE static float value(uint32_t code, float scale) { return Float8Signed::value(code, scale); }
};

// torchao's 4-bit code of second moments: 1/16 to 1 in steps of 1/16, to the nearest one, halves up. There is no zero, lest a
// denominator becomes zero; a block of nothing but zeros has a scale of zero.
struct Linear4Unsigned {
    PANOPTIM_INLINE static uint32_t code(float x, float scale) {
        const float y = x / scale * 16.0f - 0.5f; // exact but for the quotient
        const float least = y > 0.0f ? y : 0.0f;
        const int code = (int)(least < 15.0f ? least : 15.0f);
        return (uint32_t)code;
    }
    PANOPTIM_INLINE static float value(uint32_t code, float scale) { return (float)(int)(code + 1u) * 0.0625f * scale; }
};

// torchao's of first moments: as many of the steps as are not above the number.
PANOPTIM_INLINE uint32_t dynamic4_code(float x) {
    constexpr float steps[] = {PANOPTIM_SIGNED_STEPS4};
    uint32_t code = 0;
    for (int i = 0; i < 15; i++) code += x >= steps[i] ? 1u : 0u;
    return code;
}

// The code of a book of 256 values in ascending order that is nearest to x, as bitsandbytes' search finds it: of two that are equally
// near, the even one.
PANOPTIM_INLINE uint32_t nearest_code(const float* book, float x) {
    uint32_t code = 0;
    for (uint32_t half = 128; half > 0; half /= 2) {
        const uint32_t lower = code + half - 1;
        const float middle = (book[lower] + book[lower + 1]) * 0.5f;
        const int above = (lower & 1u) != 0 ? x >= middle : x > middle;
        code = above ? code + half : code;
    }
    return code;
}

}  // namespace panoptim
