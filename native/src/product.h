// Matrix products by libraries that were loaded at run time.
#pragma once
#include "panoptim.h"

namespace panoptim {

int32_t open_blas(const char* const* files, uint64_t count, panoptim_blas* blas);

// Adds oneDNN's product of bfloat16 to an open BLAS library.
int32_t open_onednn(const char* const* files, uint64_t count, panoptim_blas* blas);

int32_t multiply(panoptim_pool* pool, const panoptim_blas* blas, const panoptim_product* products);

}  // namespace panoptim
