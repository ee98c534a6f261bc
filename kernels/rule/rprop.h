// Resilient backpropagation (torch/optim/rprop.py): step sizes by the signs of two gradients in turn.
#pragma once

namespace panoptim {

struct Rprop {
    template <class T>
    static PANOPTIM_INLINE void update(const RpropScalars<T>& h, T& p, T g, T& prev, T& step_size) {
        g = h.maximize ? -g : g;
        T agreement = g * prev;
        T factor = agreement > 0 ? h.eta_plus : (agreement < 0 ? h.eta_minus : T(1));
        step_size = clamp(step_size * factor, h.step_size_min, h.step_size_max);
        g = factor == h.eta_minus ? T(0) : g;
        prev = g;
        p = fma(-sign(g), step_size, p);
    }
};

}  // namespace panoptim
