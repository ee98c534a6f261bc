// How the threads of a block divide a chunk: into groups of elements, each one aligned vector of the value.
#pragma once
#include "arithmetic.h"
#include "table.h"

namespace panoptim {

// Elements from the vector boundary at or before an address up to it; size and width are powers of two.
PANOPTIM_INLINE uint32_t phase(uint64_t address, uint32_t size, uint32_t width) {
    return (uint32_t)(address & (size * width - 1)) / size;
}

// The elements of indices first to first + width - 1: the chunk has that of first + k if bit k of the mask is set.
struct Group {
    uint32_t first, width, mask;

    PANOPTIM_INLINE bool has(int k) const { return mask >> k & 1; }
    PANOPTIM_INLINE bool full() const { return mask == (1u << width) - 1; }
};

// Indices count from the vector boundary at or before the chunk's first element, whose index so is its phase. The first
// and the last group may be partial, the chunk's head and tail; those between are its body.
struct Groups {
    uint32_t width, begin, end;

    PANOPTIM_INLINE Groups(uint32_t width, uint32_t phase, uint32_t elements)
        : width(width), begin(phase), end(phase + elements) {}

    PANOPTIM_INLINE uint32_t count() const { return (end + width - 1) / width; }

    PANOPTIM_INLINE Group operator[](uint32_t i) const {
        uint32_t first = i * width;
        uint32_t from = begin > first ? begin - first : 0;
        uint32_t to = end - first < width ? end - first : width;
        return {first, width, (1u << to) - (1u << from)};
    }
};

}  // namespace panoptim
