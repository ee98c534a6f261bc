// The CPU's loop over contiguous elements, for the engine's own rules and for its users'.
#pragma once
#include <stddef.h>

#include <utility>

#include "arithmetic.h"
#include "row.h"

namespace panoptim {

// Updates elements; the columns are value, gradient and the state slots. The reduced values are read by rules that have some.
template <class T>
using Sweep = void (*)(const Row<T>& row, const double* reduced, uint64_t elements, T* const* columns);

// The elements of a cache line.
template <class T>
constexpr uint64_t LINE = 64 / sizeof(T);

// Asks for what lies a little further on in some columns. To ask is no access: there need be nothing.
template <uint64_t AHEAD, class... T>
PANOPTIM_INLINE void prefetch(const T*... columns) {
    (__builtin_prefetch(reinterpret_cast<const char*>(columns) + AHEAD), ...);
}

// Runs a loop over columns in pieces, each a cache line of the first one, and prefetches: processors by themselves look ahead too
// little to keep memory busy with several columns, and not beyond a page.
template <uint64_t AHEAD = 2048, class Loop, class T, class... More>
PANOPTIM_INLINE void each_line(uint64_t elements, Loop loop, T* first, More*... more) {
    uint64_t i = 0;
    for (; elements - i >= LINE<T>; i += LINE<T>) {
        prefetch<AHEAD>(first + i, more + i...);
        loop(LINE<T>, first + i, more + i...);
    }
    loop(elements - i, first + i, more + i...);
}

// A copy of the scalars, because a store to an element could otherwise change them, and nothing would vectorise.
template <class Rule, class Scalars, class T, class... State>
PANOPTIM_INLINE void sweep(const Scalars h, T keep, uint64_t elements, T* p, const T* g, State*... state) {
    const auto update = [=](uint64_t count, T* __restrict p, const T* __restrict g, State* __restrict... state) {
#pragma omp simd
        for (uint64_t i = 0; i < count; ++i) {
            p[i] = p[i] * keep;
            Rule::update(h, p[i], g[i], state[i]...);
        }
    };
    each_line(elements, update, p, g, state...);
}

template <class Rule, class Scalars, class T, size_t... Slot>
PANOPTIM_INLINE void sweep(const Row<T>& row, const double* reduced, uint64_t elements, T* const* columns,
                           std::index_sequence<Slot...>) {
    sweep<Rule>(Scalars(row, reduced), row.keep, elements, columns[PANOPTIM_VALUE], columns[PANOPTIM_GRADIENT],
                columns[PANOPTIM_STATE + Slot]...);
}

}  // namespace panoptim
