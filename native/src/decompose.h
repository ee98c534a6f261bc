// Eigenvectors and orthonormal factors, by LAPACK.
#pragma once
#include "panoptim.h"

namespace panoptim {

int32_t decompose(panoptim_pool* pool, const panoptim_blas* blas, panoptim_decomposition* decomposition);

}  // namespace panoptim
