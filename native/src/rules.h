// The rules that steps know: those of the list and those that were registered.
#pragma once
#include "panoptim.h"
#include "sweep.h"

namespace panoptim {

// Null if there is none of this number.
const RuleSweeps* find_rule(int32_t number);

int32_t register_rule(const panoptim_rule* rule, int32_t* number);

}  // namespace panoptim
