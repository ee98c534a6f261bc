// Interpolation of a value towards its gradient column: between the points that the schedule-free optimizers train and evaluate
// at, where that column holds z.
#pragma once

namespace panoptim {

struct Lerp {
    template <class T>
    static PANOPTIM_INLINE void update(const LerpScalars<T>& h, T& value, T target) {
        value = lerp(value, target, h.weight);
    }
};

}  // namespace panoptim
