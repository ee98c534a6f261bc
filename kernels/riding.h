// What rides along with a step on CUDA, as far as the control block says it when the kernel runs: for step.cu and columns.cu.
#pragma once
#include "table.h"

namespace panoptim {

__device__ inline bool skipped(uint32_t extras, const panoptim_control* control) {
    return extras & PANOPTIM_SKIP && control->found_inf != 0;
}

// By which gradients are multiplied before the rule sees them, one after the other: 1 where that is not asked for.
template <class T>
struct Factors {
    T unscale, clip;

    __device__ static Factors of(uint32_t extras, const panoptim_control* control) {
        return {extras & PANOPTIM_UNSCALE ? (T)control->inverse_scale : T(1), extras & PANOPTIM_CLIP ? clip_of(*control, T()) : T(1)};
    }

    __device__ T scaled(T gradient) const { return gradient * unscale * clip; }

private:
    __device__ static float clip_of(const panoptim_control& control, float) { return control.clip_float32; }
    __device__ static double clip_of(const panoptim_control& control, double) { return control.clip_float64; }
};

// The column that a rule works on where it says value: a half may be rounded from its master.
__device__ inline int column_of(const panoptim_record& record, int column) {
    return column == PANOPTIM_VALUE && record.address[PANOPTIM_MASTER] != 0 ? PANOPTIM_MASTER : column;
}

}  // namespace panoptim
