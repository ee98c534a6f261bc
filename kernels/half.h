// The half-precision formats, as 16 bits: widening is exact, narrowing rounds once, to nearest even; any NaN may become any other.
#pragma once
#include "bits.h"

namespace panoptim {

PANOPTIM_INLINE float from_bfloat16(uint32_t half) { return from_bits(half << 16); }

PANOPTIM_INLINE uint32_t to_bfloat16(float x) {
    uint32_t bits = bits_of(x);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return x == x ? rounded : 0x7fc0u;  // rounding would carry a NaN's payload into the sign
}

#ifdef __CUDACC__  // neither NVRTC nor every host compiler of nvcc has a type for it, and this needs no header
__device__ __forceinline__ float from_float16(uint32_t half) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((unsigned short)half));
    return x;
}

__device__ __forceinline__ uint32_t to_float16(float x) {
    unsigned short half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(x));
    return half;
}
#else
#ifdef __aarch64__
using Float16 = __fp16;
#else
using Float16 = _Float16;
#endif

PANOPTIM_INLINE float from_float16(uint32_t half) {
    unsigned short bits = (unsigned short)half;
    Float16 x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return (float)x;
}

PANOPTIM_INLINE uint32_t to_float16(float x) {
    Float16 half = (Float16)x;
    unsigned short bits;
    __builtin_memcpy(&bits, &half, sizeof bits);
    return bits;
}
#endif

}  // namespace panoptim
