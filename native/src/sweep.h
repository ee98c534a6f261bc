// The inner loops, one for each rule, compute type and number of state slots.
#pragma once
#include <array>

#include "loop.h"
#include "panoptim_rules.h"

namespace panoptim {

// Adds up a rule's sums over one leaf.
template <class T>
using Measure = void (*)(const Row<T>& row, const double* reduced, uint64_t elements, const T* const* columns, double* sums);

// Computes the reduced values from the sums over each row, with the states that elements share: each with one value for each row.
using Finish = void (*)(const Row<double>& row, uint64_t rows, uint64_t columns, const double* sums, double* reduced,
                        double* shared);

// What a rule computes before its update.
struct RuleReduction {
    uint32_t over;    // PANOPTIM_TENSOR, _ROW or _GLOBAL; 0 where there is nothing
    uint32_t flag;    // only for rows with this flag; 0: for all
    uint32_t reads;   // columns, by bit
    uint32_t sums;    // over each leaf
    uint32_t reduced; // values for each row
    uint32_t shared;  // states
    Measure<float> float32[PANOPTIM_STATES + 1];
    Measure<double> float64[PANOPTIM_STATES + 1];
    Finish prepare;   // before the sums are taken
    Finish finish;
};

// A rule's loops by number of state slots; null where the rule does not have that number.
struct RuleSweeps {
    const char* name;
    Sweep<float> float32[PANOPTIM_STATES + 1];
    Sweep<double> float64[PANOPTIM_STATES + 1];
    // The same, for rows for which nothing is reduced.
    Sweep<float> plain32[PANOPTIM_STATES + 1];
    Sweep<double> plain64[PANOPTIM_STATES + 1];
    RuleReduction reduction;
};

extern const std::array<RuleSweeps, PANOPTIM_RULE_COUNT> rule_sweeps;

}  // namespace panoptim
