// Sophia-G (Liuhong99/Sophia, sophia.py): the average gradient over the Hessian's diagonal, clipped to 1.
#pragma once

namespace panoptim {

struct Sophia {
    template <class T>
    static PANOPTIM_INLINE void update(const SophiaScalars<T>& h, T& p, T g, T& exp_avg, T& hessian) {
        g = h.maximize ? -g : g;
        p = p * h.decay;
        exp_avg = average(exp_avg, h.exp_avg_decay, g, h.exp_avg_weight);
        T ratio = abs(exp_avg) / (hessian * h.scale + T(1e-15));
        p = fma(h.step_size * sign(exp_avg), ratio > 1 ? T(1) : ratio, p);
    }
};

}  // namespace panoptim
