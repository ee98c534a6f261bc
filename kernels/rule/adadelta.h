// Adadelta (torch/optim/adadelta.py).
#pragma once

namespace panoptim {

struct Adadelta {
    template <class T>
    static PANOPTIM_INLINE void update(const AdadeltaScalars<T>& h, T& p, T g, T& square_avg, T& acc_delta) {
        g = regularized(h, p, g);
        square_avg = average(square_avg, h.rho, g, g, h.rho_weight);
        T delta = (sqrt(acc_delta + h.eps) / sqrt(square_avg + h.eps)) * g;
        acc_delta = average(acc_delta, h.rho, delta, delta, h.rho_weight);
        p = fma(h.step_size, delta, p);
    }
};

}  // namespace panoptim
