// LaProp (timm/optim/laprop.py): momentum of normalized gradients.
#pragma once
#include "cautious.h"

namespace panoptim {

struct Laprop : Cautious {
    template <class T>
    static PANOPTIM_INLINE LapropSums terms(const LapropScalars<T>& h, T, T g, T exp_avg, T exp_avg_sq) {
        g = h.maximize ? -g : g;
        move(h, g, exp_avg, exp_avg_sq);
        return {agreeing(exp_avg, g)};
    }

    template <class T>
    static PANOPTIM_INLINE void update(const LapropScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        g = h.maximize ? -g : g;
        move(h, g, exp_avg, exp_avg_sq);
        p = fma(h.step_size, cautious(h, exp_avg, g), p);
        p = h.decoupled ? fma(h.decay, p, p) : p;
    }

private:
    template <class T>
    static PANOPTIM_INLINE void move(const LapropScalars<T>& h, T g, T& exp_avg, T& exp_avg_sq) {
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        T normed = g / (sqrt(exp_avg_sq / h.correction) + h.eps);
        exp_avg = average(exp_avg, h.exp_avg_decay, normed, h.exp_avg_weight);
    }
};

}  // namespace panoptim
