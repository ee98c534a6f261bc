// SignSGD and Signum (optax sign_sgd and signum): the sign of the gradient, or of its average.
#pragma once

namespace panoptim {

struct Signum {
    template <class T>
    static PANOPTIM_INLINE void update(const SignumScalars<T>& h, T& p, T g) {
        p = p * h.decay;
        p = fma(h.step_size, sign(regularized(h, p, g)), p);
    }

    template <class T>
    static PANOPTIM_INLINE void update(const SignumScalars<T>& h, T& p, T g, T& momentum_buffer) {
        p = p * h.decay;
        g = regularized(h, p, g);
        momentum_buffer = average(momentum_buffer, h.momentum, g, h.momentum_weight);
        p = fma(h.step_size, sign(momentum_buffer), p);
    }
};

}  // namespace panoptim
