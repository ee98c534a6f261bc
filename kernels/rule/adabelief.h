// AdaBelief (timm/optim/adabelief.py): Adam by the gradient's variance around its average.
#pragma once

namespace panoptim {

struct Adabelief {
    // The third state, and with it the running maximum, exists with AMSGrad only; the rectified form does not look at it.
    template <class T, class... Maximum>
    static PANOPTIM_INLINE void update(const AdabeliefScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_var,
                                       Maximum&... max_exp_avg_var) {
        p = p * h.decay;
        g = regularized(h, p, g);
        exp_avg = average(exp_avg, h.exp_avg_decay, g, h.exp_avg_weight);
        T surprise = g - exp_avg;
        exp_avg_var = average(exp_avg_var, h.exp_avg_var_decay, surprise, surprise, h.exp_avg_var_weight) + h.eps;
        T variance = exp_avg_var;
        ((variance = max_exp_avg_var = maximum(max_exp_avg_var, exp_avg_var)), ...);
        variance = h.rectify ? exp_avg_var : variance;
        T adaptive = addcdiv(p, exp_avg, sqrt(variance) / h.root_correction + h.eps, h.step_size);
        T plain = fma(h.step_size, exp_avg, p);
        T moved = h.adaptive ? adaptive : plain;
        p = h.idle ? p : moved;
    }
};

}  // namespace panoptim
