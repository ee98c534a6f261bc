// One fused pass over a table.
#pragma once
#include "panoptim.h"

namespace panoptim {

int32_t step(panoptim_pool* pool, const panoptim_table* table, const panoptim_step* step);

}  // namespace panoptim
