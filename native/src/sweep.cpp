#include "sweep.h"

#include <stddef.h>

#include <utility>

#include "lanes.h"

namespace panoptim {

// Plain names, so that a test finds each loop in the object code.
#define SWEEP(rule, type, slots, dtype, T)                                                                             \
    extern "C" void panoptim_sweep_##rule##_##dtype##_##slots(const Row<T>& row, const double* reduced,                \
                                                              uint64_t elements, T* const* columns) {                  \
        sweep<type, type##Scalars<T>>(row, reduced, elements, columns, std::make_index_sequence<slots>());             \
    }
#define SWEEPS(id, rule, type, slots)     \
    SWEEP(rule, type, slots, float32, float) \
    SWEEP(rule, type, slots, float64, double)

PANOPTIM_EACH_KERNEL(SWEEPS)

// Where a rule reduces only for rows with a flag, the others have loops in which nothing is left of that.
#define PLAIN_SWEEP(rule, type, slots, flag, dtype, T)                                                                 \
    extern "C" void panoptim_sweep_plain_##rule##_##dtype##_##slots(const Row<T>& row, const double* reduced,          \
                                                                    uint64_t elements, T* const* columns) {            \
        Row<T> plain = row;                                                                                            \
        plain.flags &= ~flag;                                                                                          \
        sweep<type, type##Scalars<T>>(plain, reduced, elements, columns, std::make_index_sequence<slots>());           \
    }
#define PLAIN_SWEEPS(id, rule, type, slots, flag)    \
    PLAIN_SWEEP(rule, type, slots, flag, float32, float) \
    PLAIN_SWEEP(rule, type, slots, flag, float64, double)

PANOPTIM_EACH_CONDITION(PLAIN_SWEEPS)

template <class Rule, class Sums, class Scalars, class T, class... State>
static PANOPTIM_INLINE void add_row(const Scalars h, T keep, uint64_t elements, double* __restrict lanes, const T* __restrict p,
                                    const T* __restrict g, const State* __restrict... state) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) {
        // A variable in between would keep the loop from being vectorised.
        Sums::template add<PANOPTIM_LANES>(Rule::terms(h, p[i] * keep, g[i], state[i]...), lanes + i);
    }
}

template <class Rule, class Sums, class Scalars, class T, size_t... Slot>
static PANOPTIM_INLINE void measure(const Row<T>& row, const double* reduced, uint64_t elements, const T* const* columns,
                                    double* sums, std::index_sequence<Slot...>) {
    const Scalars h(row, reduced);
    alignas(64) double lanes[Sums::COUNT * PANOPTIM_LANES] = {};
    for (uint64_t i = 0; i < elements; i += PANOPTIM_LANES) {
        const uint64_t count = elements - i < PANOPTIM_LANES ? elements - i : PANOPTIM_LANES;
        add_row<Rule, Sums>(h, row.keep, count, lanes, columns[PANOPTIM_VALUE] + i, columns[PANOPTIM_GRADIENT] + i,
                            columns[PANOPTIM_STATE + Slot] + i...);
    }
    for (int sum = 0; sum < Sums::COUNT; ++sum) {
        sums[sum] = join_lanes(lanes + sum * PANOPTIM_LANES, [](double a, double b) { return a + b; });
    }
}

#define MEASURE(rule, type, slots, dtype, T)                                                                           \
    extern "C" void panoptim_measure_##rule##_##dtype##_##slots(const Row<T>& row, const double* reduced,              \
                                                                uint64_t elements, const T* const* columns,            \
                                                                double* sums) {                                        \
        measure<type, type##Sums, type##Scalars<T>>(row, reduced, elements, columns, sums,                             \
                                                    std::make_index_sequence<slots>());                                \
    }
#define MEASURES(id, rule, type, slots, over, flag, reads, shared) \
    MEASURE(rule, type, slots, float32, float)                     \
    MEASURE(rule, type, slots, float64, double)

PANOPTIM_EACH_REDUCTION(MEASURES)

template <class Rule, class Scalars, class Sums, class Reduced, size_t... Shared>
static void finish(const Row<double>& row, uint64_t rows, uint64_t columns, const double* sums, double* reduced,
                   double* shared, std::index_sequence<Shared...>) {
    Rule::finish(Scalars(row, reduced), rows, columns, reinterpret_cast<const Sums*>(sums),
                 reinterpret_cast<Reduced*>(reduced), shared + Shared * rows...);
}

template <class Rule, class Scalars, class Sums, class Reduced, size_t SHARED>
static void finish(const Row<double>& row, uint64_t rows, uint64_t columns, const double* sums, double* reduced,
                   double* shared) {
    finish<Rule, Scalars, Sums, Reduced>(row, rows, columns, sums, reduced, shared, std::make_index_sequence<SHARED>());
}

template <class Rule, class Scalars, class Reduced, size_t... Shared>
static void prepare(const Row<double>& row, double* reduced, double* shared, std::index_sequence<Shared...>) {
    Rule::prepare(Scalars(row, reduced), reinterpret_cast<Reduced*>(reduced), shared + Shared...);
}

// What is reduced over all tensors is carried from step to step, and needed before the sums of the next.
template <class Rule, class Scalars, class Reduced, size_t SHARED, uint32_t OVER>
static void prepare(const Row<double>& row, uint64_t, uint64_t, const double*, double* reduced, double* shared) {
    if constexpr (OVER == PANOPTIM_GLOBAL) {
        prepare<Rule, Scalars, Reduced>(row, reduced, shared, std::make_index_sequence<SHARED>());
    }
}

static constexpr std::array<RuleSweeps, PANOPTIM_RULE_COUNT> table() {
    std::array<RuleSweeps, PANOPTIM_RULE_COUNT> rules{};
#define ENTER(id, rule, type, slots)                                                             \
    rules[id].name = #rule;                                                                      \
    rules[id].float32[slots] = rules[id].plain32[slots] = panoptim_sweep_##rule##_float32_##slots; \
    rules[id].float64[slots] = rules[id].plain64[slots] = panoptim_sweep_##rule##_float64_##slots;
    PANOPTIM_EACH_KERNEL(ENTER)
#define ENTER_PLAIN(id, rule, type, slots, flag)                               \
    rules[id].plain32[slots] = panoptim_sweep_plain_##rule##_float32_##slots;  \
    rules[id].plain64[slots] = panoptim_sweep_plain_##rule##_float64_##slots;
    PANOPTIM_EACH_CONDITION(ENTER_PLAIN)
#define ENTER_REDUCTION(id, rule, type, slots, over_, flag_, reads_, shared_)                                        \
    rules[id].reduction.over = over_;                                                                                \
    rules[id].reduction.flag = flag_;                                                                                \
    rules[id].reduction.reads = reads_;                                                                              \
    rules[id].reduction.sums = type##Sums::COUNT;                                                                    \
    rules[id].reduction.reduced = type##Reduced::COUNT;                                                              \
    rules[id].reduction.shared = shared_;                                                                            \
    rules[id].reduction.float32[slots] = panoptim_measure_##rule##_float32_##slots;                                  \
    rules[id].reduction.float64[slots] = panoptim_measure_##rule##_float64_##slots;                                  \
    rules[id].reduction.prepare = prepare<type, type##Scalars<double>, type##Reduced, shared_, over_>;               \
    rules[id].reduction.finish = finish<type, type##Scalars<double>, type##Sums, type##Reduced, shared_>;
    PANOPTIM_EACH_REDUCTION(ENTER_REDUCTION)
    return rules;
}

constexpr std::array<RuleSweeps, PANOPTIM_RULE_COUNT> rule_sweeps = table();

}  // namespace panoptim
