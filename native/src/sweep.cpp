#include "sweep.h"

#include <stddef.h>

#include <utility>

namespace panoptim {

// A copy of the scalars, because a store to an element could otherwise change them, and nothing would vectorise.
template <class Rule, class Scalars, class T, class... State>
static PANOPTIM_INLINE void sweep(const Scalars h, uint64_t elements, T* __restrict p, const T* __restrict g,
                                  State* __restrict... state) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) {
        Rule::update(h, p[i], g[i], state[i]...);
    }
}

template <class Rule, class Scalars, class T, size_t... Slot>
static PANOPTIM_INLINE void sweep(const Row<T>& row, uint64_t elements, T* const* columns, std::index_sequence<Slot...>) {
    sweep<Rule>(Scalars(row), elements, columns[PANOPTIM_VALUE], columns[PANOPTIM_GRADIENT],
                columns[PANOPTIM_STATE + Slot]...);
}

// Plain names, so that a test finds each loop in the object code.
#define SWEEP(rule, type, slots, dtype, T)                                                                             \
    extern "C" void panoptim_sweep_##rule##_##dtype##_##slots(const Row<T>& row, uint64_t elements,                    \
                                                              T* const* columns) {                                     \
        sweep<type, type##Scalars<T>>(row, elements, columns, std::make_index_sequence<slots>());                      \
    }
#define SWEEPS(id, rule, type, slots)     \
    SWEEP(rule, type, slots, float32, float) \
    SWEEP(rule, type, slots, float64, double)

PANOPTIM_EACH_KERNEL(SWEEPS)

static constexpr std::array<RuleSweeps, PANOPTIM_RULE_COUNT> table() {
    std::array<RuleSweeps, PANOPTIM_RULE_COUNT> rules{};
#define ENTER(id, rule, type, slots)                                        \
    rules[id].name = #rule;                                                 \
    rules[id].float32[slots] = panoptim_sweep_##rule##_float32_##slots;     \
    rules[id].float64[slots] = panoptim_sweep_##rule##_float64_##slots;
    PANOPTIM_EACH_KERNEL(ENTER)
    return rules;
}

constexpr std::array<RuleSweeps, PANOPTIM_RULE_COUNT> rule_sweeps = table();

}  // namespace panoptim
