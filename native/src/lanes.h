// The last part of a sum over a leaf, as kernels/leaf.h defines it.
#pragma once
#include "arithmetic.h"
#include "table.h"

namespace panoptim {

// The upper half of the lanes joins the lower, until one is left. Each half is a constant, so that its loop becomes a few vectors.
template <int HALF = PANOPTIM_LANES / 2, class Join>
PANOPTIM_INLINE double join_lanes(double* lane, Join join) {
#pragma omp simd
    for (int i = 0; i < HALF; ++i) lane[i] = join(lane[i], lane[i + HALF]);
    if constexpr (HALF > 1) join_lanes<HALF / 2>(lane, join);
    return lane[0];
}

}  // namespace panoptim
