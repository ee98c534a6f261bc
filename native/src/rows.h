// A step over some rows of some tensors.
#pragma once
#include "panoptim.h"

namespace panoptim {

int32_t step_rows(panoptim_pool* pool, const panoptim_table* table, const panoptim_step* step, const panoptim_row_step* rows);

}  // namespace panoptim
