// The loops over codes of quantised states and over values of 16 bits; kernels/quantize.h, kernels/master.h and kernels/noise.h say
// what they do to an element.
#pragma once
#include "noise.h"
#include "quantize.h"

namespace panoptim {

inline bool quantized(uint8_t dtype) { return dtype >= PANOPTIM_DYNAMIC_SIGNED; }

// Whether they are codes of 4 bits, two in a byte.
inline bool packed(uint8_t dtype) { return dtype >= PANOPTIM_DYNAMIC4_SIGNED; }

// How many elements have a scale together.
inline uint64_t block_of(uint8_t dtype) { return packed(dtype) ? PANOPTIM_QUANTIZED_BLOCK4 : PANOPTIM_QUANTIZED_BLOCK; }

// Codes of whole blocks from one of a block's first elements on, the last block possibly shorter, and their scales.
struct Codes {
    uint8_t dtype; // PANOPTIM_DYNAMIC_SIGNED, ...
    uint8_t scale; // float32 or bfloat16
    uint8_t* codes;
    char* scales;
};

void dequantize(const Codes& from, uint64_t elements, float* to);
void quantize(const Codes& to, uint64_t elements, const float* from);

// index: of the first element, from the whole tensor's element 0 on.
void round_stochastically(uint64_t noise, uint64_t id, uint32_t column, uint64_t index, uint64_t elements, const float* from, uint16_t* to);

void join(const uint16_t* value, const uint16_t* remainder, uint64_t elements, float* to);
// Kahan's compensation is added to a value, and is what rounding it has lost: it takes the rounded value's place.
void add(uint64_t elements, const float* compensation, float* value);
void subtract(uint64_t elements, const float* unrounded, float* value);

void split(const float* from, uint64_t elements, uint16_t* value, uint16_t* remainder);

}  // namespace panoptim
