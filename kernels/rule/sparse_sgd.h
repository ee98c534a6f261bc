// Stochastic gradient descent on the rows of a sparse gradient (torch/optim/sgd.py). It differs from sgd.h in the sign of
// zeros: torch adds sparse tensors up from zero, so that a sum is never -0.
#pragma once

namespace panoptim {

struct SparseSgd {
    template <class T>
    static PANOPTIM_INLINE void update(const SparseSgdScalars<T>& h, T& p, T g) {
        p = fma(h.step_size, g, p);
    }

    // A row that has momentum, but no gradient in this step, comes with zeros.
    template <class T>
    static PANOPTIM_INLINE void update(const SparseSgdScalars<T>& h, T& p, T g, T& momentum_buffer) {
        T later = fma(h.undampened, g, momentum_buffer * h.momentum + T(0));
        momentum_buffer = h.first ? g : later;
        T ahead = fma(h.momentum, momentum_buffer, g + T(0));
        p = fma(h.step_size, h.nesterov ? ahead : momentum_buffer, p);
    }
};

}  // namespace panoptim
