// Adagrad (torch/optim/adagrad.py).
#pragma once

namespace panoptim {

struct Adagrad {
    template <class T>
    static PANOPTIM_INLINE void update(const AdagradScalars<T>& h, T& p, T g, T& sum) {
        g = regularized(h, p, g);
        sum = fma(g, g, sum);
        p = addcdiv(p, g, sqrt(sum) + h.eps, h.step_size);
    }
};

}  // namespace panoptim
