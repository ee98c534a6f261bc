// Adam with Nesterov momentum (torch/optim/nadam.py).
#pragma once

namespace panoptim {

struct Nadam {
    template <class T>
    static PANOPTIM_INLINE void update(const NadamScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        p = p * h.decay;
        g = regularized(h, p, g);
        exp_avg = lerp(exp_avg, g, h.exp_avg_weight);
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        T denominator = sqrt(exp_avg_sq / h.correction) + h.eps;
        p = addcdiv(p, g, denominator, h.gradient_step_size);
        p = addcdiv(p, exp_avg, denominator, h.average_step_size);
    }
};

}  // namespace panoptim
