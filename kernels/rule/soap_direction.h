// Adam in the eigenbasis of Shampoo's preconditioner (nikhilvyas/SOAP, soap.py). The value is the average of the gradients, which are
// projected, and the update a state.
#pragma once

namespace panoptim {

struct SoapDirection {
    template <class T>
    static PANOPTIM_INLINE void update(const SoapDirectionScalars<T>& h, T& exp_avg, T g, T& exp_avg_sq, T& update) {
        exp_avg = average(exp_avg, h.exp_avg_decay, g, h.exp_avg_weight);
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g * g, h.exp_avg_sq_weight);
        update = exp_avg / (sqrt(exp_avg_sq) + h.eps);
    }
};

}  // namespace panoptim
