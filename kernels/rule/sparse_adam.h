// SparseAdam (torch/optim/_functional.py): Adam on the rows of a sparse gradient, its bias corrections in the step size.
#pragma once

namespace panoptim {

struct SparseAdam {
    template <class T>
    static PANOPTIM_INLINE void update(const SparseAdamScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        exp_avg = exp_avg + (g - exp_avg) * h.exp_avg_weight;
        exp_avg_sq = exp_avg_sq + (g * g - exp_avg_sq) * h.exp_avg_sq_weight;
        p = p + (exp_avg / (sqrt(exp_avg_sq) + h.eps)) * h.step_size;
    }
};

}  // namespace panoptim
