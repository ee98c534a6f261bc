// A row of scalars as kernels see it: already rounded to the compute type.
#pragma once
#include "table.h"

namespace panoptim {

template <class T>
struct Row {
    T scalar[PANOPTIM_SCALARS];
    uint32_t flags;
    T keep;     // what decay independent of the learning rate leaves of a value, before the rule sees it; 1 without
    T average;  // weight of the value in its moving average
    uint64_t noise;  // what stochastic rounding starts from in this step
};

}  // namespace panoptim
