// Stochastic gradient descent with optional momentum (torch/optim/sgd.py).
#pragma once

namespace panoptim {

struct Sgd {
    template <class T>
    static PANOPTIM_INLINE void update(const SgdScalars<T>& h, T& p, T g) {
        p = fma(h.step_size, regularized(h, p, g), p);
    }

    // The first step fills the buffer with the gradient itself, without dampening.
    template <class T>
    static PANOPTIM_INLINE void update(const SgdScalars<T>& h, T& p, T g, T& momentum_buffer) {
        g = regularized(h, p, g);
        T later = average(momentum_buffer, h.momentum, g, h.undampened);
        momentum_buffer = h.first ? g : later;
        T ahead = fma(h.momentum, momentum_buffer, g);
        p = fma(h.step_size, h.nesterov ? ahead : momentum_buffer, p);
    }
};

}  // namespace panoptim
