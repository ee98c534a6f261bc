// Averaged stochastic gradient descent (torch/optim/asgd.py).
#pragma once

namespace panoptim {

struct Asgd {
    template <class T>
    static PANOPTIM_INLINE void update(const AsgdScalars<T>& h, T& p, T g, T& ax) {
        g = regularized(h, p, g);
        p = p * h.decay;
        p = fma(h.step_size, g, p);
        T averaged = ax + (p - ax) * h.average_weight;
        ax = h.averaging ? averaged : p;
    }
};

}  // namespace panoptim
