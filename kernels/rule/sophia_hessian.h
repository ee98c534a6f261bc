// The Hessian's diagonal in Sophia-G (Liuhong99/Sophia, sophia.py, update_hessian), which is the value here: the average of the
// squares of gradients for labels drawn from the model's own output, the Gauss-Newton-Bartlett estimate.
#pragma once

namespace panoptim {

struct SophiaHessian {
    template <class T>
    static PANOPTIM_INLINE void update(const SophiaHessianScalars<T>& h, T& hessian, T sample) {
        hessian = average(hessian, h.hessian_decay, sample, sample, h.hessian_weight);
    }
};

}  // namespace panoptim
