// The AdamW beside Muon (KellerJordan/Muon, muon.py): averages by lerp, each divided by its correction.
#pragma once

namespace panoptim {

struct AuxAdam {
    template <class T>
    static PANOPTIM_INLINE void update(const AuxAdamScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        exp_avg = lerp(exp_avg, g, h.exp_avg_weight);
        exp_avg_sq = lerp(exp_avg_sq, g * g, h.exp_avg_sq_weight);
        T update = exp_avg / h.correction / (sqrt(exp_avg_sq / h.square_correction) + h.eps);
        p = fma(h.step_size, update, p * h.decay);
    }
};

}  // namespace panoptim
