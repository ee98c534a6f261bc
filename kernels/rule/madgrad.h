// MADGRAD (timm/optim/madgrad.py): dual averaging from x0, scaled by the cube root of the sum of squares.
#pragma once

namespace panoptim {

struct Madgrad {
    // Without momentum x0 follows from the parameter.
    template <class T>
    static PANOPTIM_INLINE void update(const MadgradScalars<T>& h, T& p, T g, T& grad_sum_sq, T& s) {
        p = p * h.decay;
        g = regularized(h, p, g);
        T x0 = p + s / (cbrt(grad_sum_sq) + h.eps);
        p = dual_average(h, x0, g, grad_sum_sq, s);
    }

    // With it the first step keeps the parameter as x0, and the parameter averages.
    template <class T>
    static PANOPTIM_INLINE void update(const MadgradScalars<T>& h, T& p, T g, T& grad_sum_sq, T& s, T& x0) {
        x0 = h.first ? p : x0;
        p = p * h.decay;
        g = regularized(h, p, g);
        p = average(p, h.momentum, dual_average(h, x0, g, grad_sum_sq, s), h.z_weight);
    }

private:
    template <class T>
    static PANOPTIM_INLINE T dual_average(const MadgradScalars<T>& h, T x0, T g, T& grad_sum_sq, T& s) {
        grad_sum_sq = fma(h.accumulation * g, g, grad_sum_sq);
        s = fma(h.accumulation, g, s);
        return x0 - s / (cbrt(grad_sum_sq) + h.eps);
    }
};

}  // namespace panoptim
