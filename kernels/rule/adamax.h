// Adam with the infinity norm (torch/optim/adamax.py).
#pragma once

namespace panoptim {

struct Adamax {
    template <class T>
    static PANOPTIM_INLINE void update(const AdamaxScalars<T>& h, T& p, T g, T& exp_avg, T& exp_inf) {
        g = regularized(h, p, g);
        exp_avg = lerp(exp_avg, g, h.exp_avg_weight);
        exp_inf = maximum(exp_inf * h.exp_inf_decay, abs(g) + h.eps);
        p = addcdiv(p, exp_avg, exp_inf, h.step_size);
    }
};

}  // namespace panoptim
