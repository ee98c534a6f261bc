// Float32 values that are kept in two columns of 16 bits: a bfloat16 one that the model reads, and what that lacks.
#pragma once
#include "half.h"

namespace panoptim {

// The exact one, as TransformerEngine and apex split it (adam.cu, multi_tensor_distopt_adam_kernel.cu): the value is the float32
// rounded to bfloat16, halves away from zero, and the remainder the float32's lower 16 bits; their sign says whether it was rounded
// up. Every float32 comes back as it was, but for NaN, which comes back as a NaN.
PANOPTIM_INLINE float joined(uint32_t value, uint32_t remainder) { return from_bits(((value - (remainder >> 15)) << 16) | remainder); }

PANOPTIM_INLINE uint32_t split_bits(float x) { return x == x ? bits_of(x) : 0x7fc00000u; }
PANOPTIM_INLINE uint32_t upper_part(float x) { return (split_bits(x) + 0x8000u) >> 16; }
PANOPTIM_INLINE uint32_t remainder_of(float x) { return split_bits(x) & 0xffffu; }

// Kahan's: what rounding x to a value has lost. Where the value is not finite there is nothing to make up for.
PANOPTIM_INLINE float lost(float x, float value) {
    const float difference = x - value;
    return abs(difference) <= 0x1.fffffep127f ? difference : 0.0f;
}

}  // namespace panoptim
