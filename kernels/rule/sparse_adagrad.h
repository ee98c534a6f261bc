// Adagrad on the rows of a sparse gradient (torch/optim/adagrad.py), where torch rounds elsewhere than in adagrad.h.
#pragma once

namespace panoptim {

struct SparseAdagrad {
    template <class T>
    static PANOPTIM_INLINE void update(const SparseAdagradScalars<T>& h, T& p, T g, T& sum) {
        sum = sum + g * g;
        p = fma(h.step_size, g / (sqrt(sum) + h.eps), p);
    }
};

}  // namespace panoptim
