// A row of scalars as kernels see it: already rounded to the compute type.
#pragma once
#include "table.h"

namespace panoptim {

template <class T>
struct Row {
    T scalar[PANOPTIM_SCALARS];
    uint32_t flags;
};

}  // namespace panoptim
