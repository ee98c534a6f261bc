// Noise for stochastic rounding: 32 bits for each element of each tensor in each step, from nothing but their numbers, so that it is
// the same on every engine, for every chunking and for every slice. The Java twin is io.panoptim.engine.reference.Noise.
//
//   key(noise, id, column, index >> 32) = mix64(mix64(mix64(noise) + id) + (column << 32 | index >> 32))
//   noise of an element = mix32(mix32(low 32 bits of index ^ low half of the key) ^ high half of the key)
//
// noise is the row's, another number in every step; id the tensor's; index counts from the whole tensor's element 0. mix64 is
// SplitMix64's step (Steele, Lea, Flood 2014), mix32 Wellons' lowbias32. With only one round of mix32 the noise of two steps or tensors
// would be the same numbers in another order: element i of the one would have what element i ^ (their keys' difference) of the other has.
// What is done for each element takes 32-bit operations only, of which every vector unit has products.
#pragma once
#include "half.h"

namespace panoptim {

// Of 2^32 elements.
struct NoiseKey {
    uint32_t first, second;
};

PANOPTIM_INLINE uint64_t mix64(uint64_t x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

PANOPTIM_INLINE uint32_t mix32(uint32_t x) {
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

// For the elements whose index has these upper 32 bits, in this column.
PANOPTIM_INLINE NoiseKey noise_key(uint64_t noise, uint64_t id, uint32_t column, uint64_t index) {
    const uint64_t key = mix64(mix64(mix64(noise) + id) + ((uint64_t)column << 32 | index >> 32));
    return {(uint32_t)key, (uint32_t)(key >> 32)};
}

// index: the lower 32 bits.
PANOPTIM_INLINE uint32_t noise_of(NoiseKey key, uint32_t index) { return mix32(mix32(index ^ key.first) ^ key.second); }

// Rounds up with a probability of the part that is cut off, of which 16 bits there are, by the noise's upper 16 bits; a number that
// bfloat16 has stays as it is. Beyond the largest finite number, where infinity would be the other choice, it rounds to nearest even.
PANOPTIM_INLINE uint32_t to_bfloat16(float x, uint32_t noise) {
    const uint32_t bits = bits_of(x);
    const uint32_t rounded = (bits + (noise >> 16)) >> 16;
    return (bits & 0x7fffffffu) > 0x7f7f0000u ? to_bfloat16(x) : rounded;
}

}  // namespace panoptim
