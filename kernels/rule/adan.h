// Adan (timm/optim/adan.py): Adam with averages of the gradient's differences.
#pragma once

namespace panoptim {

struct Adan {
    // The first step has no gradient before it: its difference is zero.
    template <class T>
    static PANOPTIM_INLINE void update(const AdanScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq, T& exp_avg_diff,
                                       T& neg_pre_grad) {
        g = h.maximize ? -g : g;
        T difference = (h.first ? -g : neg_pre_grad) + g;
        exp_avg = average(exp_avg, h.exp_avg_decay, g, h.exp_avg_weight);
        exp_avg_diff = average(exp_avg_diff, h.exp_avg_diff_decay, difference, h.exp_avg_diff_weight);
        T ahead = difference * h.exp_avg_diff_decay + g;
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, ahead, ahead, h.exp_avg_sq_weight);
        T denominator = sqrt(exp_avg_sq) / h.root_correction + h.eps;
        p = p * h.decay;
        p = addcdiv(p, exp_avg, denominator, h.step_size);
        p = addcdiv(p, exp_avg_diff, denominator, h.diff_step_size);
        p = p / h.proximity;
        neg_pre_grad = T(0) - g;  // +0 for either zero
    }
};

}  // namespace panoptim
