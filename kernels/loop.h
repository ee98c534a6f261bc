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

// A copy of the scalars, because a store to an element could otherwise change them, and nothing would vectorise.
template <class Rule, class Scalars, class T, class... State>
PANOPTIM_INLINE void sweep(const Scalars h, T keep, uint64_t elements, T* __restrict p, const T* __restrict g,
                           State* __restrict... state) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) {
        p[i] = p[i] * keep;
        Rule::update(h, p[i], g[i], state[i]...);
    }
}

template <class Rule, class Scalars, class T, size_t... Slot>
PANOPTIM_INLINE void sweep(const Row<T>& row, const double* reduced, uint64_t elements, T* const* columns,
                           std::index_sequence<Slot...>) {
    sweep<Rule>(Scalars(row, reduced), row.keep, elements, columns[PANOPTIM_VALUE], columns[PANOPTIM_GRADIENT],
                columns[PANOPTIM_STATE + Slot]...);
}

}  // namespace panoptim
