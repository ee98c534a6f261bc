// Floating-point numbers as bits, and back.
#pragma once
#include "arithmetic.h"
#include "table.h"

namespace panoptim {

PANOPTIM_INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}

PANOPTIM_INLINE uint64_t bits_of(double x) {
    uint64_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}

PANOPTIM_INLINE float from_bits(uint32_t bits) {
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

PANOPTIM_INLINE double from_bits(uint64_t bits) {
    double x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

}  // namespace panoptim
