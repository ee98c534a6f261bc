// The last part of a sum over a leaf, as kernels/leaf.h defines it.
#pragma once
#include "arithmetic.h"
#include "table.h"

namespace panoptim {

// The upper half of the lanes joins the lower, until one is left.
template <class Join>
PANOPTIM_INLINE double join_lanes(double* lane, Join join) {
    for (int half = PANOPTIM_LANES / 2; half > 0; half /= 2) {
#pragma omp simd
        for (int i = 0; i < half; ++i) lane[i] = join(lane[i], lane[i + half]);
    }
    return lane[0];
}

}  // namespace panoptim
