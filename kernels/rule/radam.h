// Rectified Adam (torch/optim/radam.py): adaptive once the variance of the second moment is tractable.
#pragma once

namespace panoptim {

struct Radam {
    template <class T>
    static PANOPTIM_INLINE void update(const RadamScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        p = p * h.decay;
        g = regularized(h, p, g);
        exp_avg = lerp(exp_avg, g, h.exp_avg_weight);
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        T step = (exp_avg / h.correction) * h.lr;
        T adaptive = reciprocal_times(sqrt(exp_avg_sq) + h.eps, h.root_correction);
        T rectified = (step * adaptive) * h.rectification;
        p = p - (h.rectified ? rectified : step);
    }
};

}  // namespace panoptim
