// AdEMAMix (apple/ml-ademamix, pytorch/ademamix.py): Adam with a fast and a slow average of the gradient.
#pragma once

namespace panoptim {

struct Ademamix {
    // Without a decay rate the fast average is the gradient itself, and has no state.
    template <class T, class... Fast>
    static PANOPTIM_INLINE void update(const AdemamixScalars<T>& h, T& p, T g, T& exp_avg_slow, T& exp_avg_sq,
                                       Fast&... exp_avg_fast) {
        g = h.maximize ? -g : g;
        T fast = g;
        ((fast = exp_avg_fast = average(exp_avg_fast, h.exp_avg_fast_decay, g, h.exp_avg_fast_weight)), ...);
        exp_avg_slow = average(exp_avg_slow, h.exp_avg_slow_decay, g, h.exp_avg_slow_weight);
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        T denominator = sqrt(exp_avg_sq) / h.root_correction + h.eps;
        T direction = (fast / h.fast_correction + exp_avg_slow * h.alpha) / denominator;
        direction = fma(h.weight_decay, p, direction);
        p = p + direction * h.step_size;
    }
};

}  // namespace panoptim
