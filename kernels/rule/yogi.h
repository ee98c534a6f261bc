// Yogi (kozistr, pytorch_optimizer/optimizer/yogi.py): Adam whose second moment moves by a step that does not grow with it.
#pragma once

namespace panoptim {

struct Yogi {
    template <class T>
    static PANOPTIM_INLINE void update(const YogiScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        p = p * h.decay;
        g = regularized(h, p, g);
        T square = g * g;
        exp_avg = average(exp_avg, h.exp_avg_decay, g, h.exp_avg_weight);
        exp_avg_sq = fma(h.exp_avg_sq_weight * sign(exp_avg_sq - square), square, exp_avg_sq);
        p = addcdiv(p, exp_avg, sqrt(exp_avg_sq) / h.root_correction + h.eps, h.step_size);
    }
};

}  // namespace panoptim
