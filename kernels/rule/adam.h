// Adam, AdamW and their AMSGrad variants (torch/optim/adam.py): AdamW decays the parameter, Adam its gradient.
#pragma once
#include "cautious.h"

namespace panoptim {

struct Adam : Cautious {
    // Only AdamW is cautious: there is no penalty in the gradient.
    template <class T, class... Maximum>
    static PANOPTIM_INLINE AdamSums terms(const AdamScalars<T>& h, T, T g, T exp_avg, T, Maximum...) {
        g = h.maximize ? -g : g;
        return {agreeing(lerp(exp_avg, g, h.exp_avg_weight), g)};
    }

    // The third state, and with it the running maximum, exists with AMSGrad only.
    template <class T, class... Maximum>
    static PANOPTIM_INLINE void update(const AdamScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq,
                                       Maximum&... max_exp_avg_sq) {
        p = p * h.decay;
        g = regularized(h, p, g);
        exp_avg = lerp(exp_avg, g, h.exp_avg_weight);
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        T second_moment = exp_avg_sq;
        ((second_moment = max_exp_avg_sq = maximum(max_exp_avg_sq, exp_avg_sq)), ...);
        T denominator = sqrt(second_moment) / h.root_correction + h.eps;
        p = addcdiv(p, cautious(h, exp_avg, g), denominator, h.step_size);
    }
};

}  // namespace panoptim
