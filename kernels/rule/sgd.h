// Stochastic gradient descent with optional momentum (torch/optim/sgd.py).
#pragma once
#include "cautious.h"

namespace panoptim {

struct Sgd : Cautious {
    // Without momentum a step is the gradient itself, and there is nothing to be cautious of.
    template <class T>
    static PANOPTIM_INLINE SgdSums terms(const SgdScalars<T>&, T, T g) {
        return {agreeing(g, g)};
    }

    template <class T>
    static PANOPTIM_INLINE SgdSums terms(const SgdScalars<T>& h, T p, T g, T momentum_buffer) {
        g = regularized(h, p, g);
        return {agreeing(step(h, g, momentum_buffer), g)};
    }

    template <class T>
    static PANOPTIM_INLINE void update(const SgdScalars<T>& h, T& p, T g) {
        p = fma(h.step_size, regularized(h, p, g), p);
    }

    template <class T>
    static PANOPTIM_INLINE void update(const SgdScalars<T>& h, T& p, T g, T& momentum_buffer) {
        g = regularized(h, p, g);
        p = fma(h.step_size, cautious(h, step(h, g, momentum_buffer), g), p);
    }

private:
    // The first step fills the buffer with the gradient itself, without dampening.
    template <class T>
    static PANOPTIM_INLINE T step(const SgdScalars<T>& h, T g, T& momentum_buffer) {
        T later = average(momentum_buffer, h.momentum, g, h.undampened);
        momentum_buffer = h.first ? g : later;
        T ahead = fma(h.momentum, momentum_buffer, g);
        return h.nesterov ? ahead : momentum_buffer;
    }
};

}  // namespace panoptim
