// Conversions between half types and float32: widening is exact, each store rounds once, to nearest even.
#pragma once
#include <stdint.h>

#include <type_traits>
#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

#include "half.h"
#include "loop.h"
#include "table.h"

namespace panoptim {

// Elements converted at a time, through buffers on the stack.
constexpr uint64_t BLOCK = 512;

inline uint64_t bytes_of(uint8_t dtype) {
    constexpr uint8_t bytes[] = {4, 8, 2, 2, 1, 8, 2};
    return dtype < sizeof bytes ? bytes[dtype] : 1;
}

#if defined(__x86_64__)
constexpr uint64_t FLOAT16_LANES = 8;
inline void widen_float16(const uint16_t* in, float* out) {
    _mm256_storeu_ps(out, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in))));
}
inline void round_to_float16(const float* in, uint16_t* out) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_cvtps_ph(_mm256_loadu_ps(in), _MM_FROUND_TO_NEAREST_INT));
}
#else
constexpr uint64_t FLOAT16_LANES = 4;
inline void widen_float16(const uint16_t* in, float* out) {
    vst1q_f32(out, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(in))));
}
inline void round_to_float16(const float* in, uint16_t* out) {
    vst1_u16(out, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(in))));
}
#endif

// The columns given here have another type than the compute type; elements <= BLOCK, and the buffers have BLOCK.

inline void load(uint8_t dtype, const void* column, uint64_t elements, float* buffer) {
    const uint16_t* in = static_cast<const uint16_t*>(column);
    if (dtype == PANOPTIM_BFLOAT16) {
        const auto widen = [](uint64_t count, const uint16_t* __restrict in, float* __restrict out) {
#pragma omp simd
            for (uint64_t i = 0; i < count; ++i) out[i] = from_bfloat16(in[i]);
        };
        return each_line(elements, widen, in, buffer);
    }
    const auto widen = [](uint64_t count, const uint16_t* in, float* out) {
        for (uint64_t i = 0; i < count; i += FLOAT16_LANES) widen_float16(in + i, out + i);
    };
    uint64_t whole = elements - elements % FLOAT16_LANES;
    each_line(whole, widen, in, buffer);
    if (whole < elements) {
        uint16_t last[FLOAT16_LANES] = {};
        for (uint64_t i = whole; i < elements; ++i) last[i - whole] = in[i];
        widen_float16(last, buffer + whole);
    }
}

inline void store(uint8_t dtype, const float* __restrict buffer, uint64_t elements, void* column) {
    uint16_t* __restrict out = static_cast<uint16_t*>(column);
    if (dtype == PANOPTIM_BFLOAT16) {
#pragma omp simd
        for (uint64_t i = 0; i < elements; ++i) out[i] = uint16_t(to_bfloat16(buffer[i]));
        return;
    }
    uint64_t whole = elements - elements % FLOAT16_LANES;
    for (uint64_t i = 0; i < whole; i += FLOAT16_LANES) round_to_float16(buffer + i, out + i);
    if (whole < elements) {
        uint16_t last[FLOAT16_LANES];
        round_to_float16(buffer + whole, last);
        for (uint64_t i = whole; i < elements; ++i) out[i] = last[i - whole];
    }
}

// Memory in the compute type: where it lies or, if it has another type, converted into the buffer.
template <class T>
T* widened(uint8_t dtype, char* memory, uint64_t elements, T* buffer) {
    if constexpr (std::is_same_v<T, float>) {
        if (dtype != PANOPTIM_FLOAT32) {
            load(dtype, memory, elements, buffer);
            return buffer;
        }
    }
    return reinterpret_cast<T*>(memory);
}

// What was converted into the buffer goes back.
template <class T>
void narrow(uint8_t dtype, const T* buffer, uint64_t elements, char* memory) {
    if constexpr (std::is_same_v<T, float>) {
        if (dtype != PANOPTIM_FLOAT32) store(dtype, buffer, elements, memory);
    }
}

}  // namespace panoptim
