// Steps of factored second moments: kernels/factored.h over blocks of matrices.
#pragma once
#include "panoptim.h"

namespace panoptim {

int32_t step_factored(panoptim_pool* pool, const panoptim_factored_step* step);

}  // namespace panoptim
