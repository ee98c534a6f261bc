// LaProp (timm/optim/laprop.py): momentum of normalized gradients.
#pragma once

namespace panoptim {

struct Laprop {
    template <class T>
    static PANOPTIM_INLINE void update(const LapropScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        g = h.maximize ? -g : g;
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        T normed = g / (sqrt(exp_avg_sq / h.correction) + h.eps);
        exp_avg = average(exp_avg, h.exp_avg_decay, normed, h.exp_avg_weight);
        p = fma(h.step_size, exp_avg, p);
        p = h.decoupled ? fma(h.decay, p, p) : p;
    }
};

}  // namespace panoptim
