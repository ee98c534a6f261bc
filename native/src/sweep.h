// The inner loops, one for each rule, compute type and number of state slots.
#pragma once
#include <array>

#include "panoptim_rules.h"

namespace panoptim {

// Updates contiguous elements; the columns are value, gradient and the state slots.
template <class T>
using Sweep = void (*)(const Row<T>& row, uint64_t elements, T* const* columns);

// A rule's sweeps by number of state slots; null where the rule does not have that number.
struct RuleSweeps {
    const char* name;
    Sweep<float> float32[PANOPTIM_STATES + 1];
    Sweep<double> float64[PANOPTIM_STATES + 1];
};

extern const std::array<RuleSweeps, PANOPTIM_RULE_COUNT> rule_sweeps;

}  // namespace panoptim
