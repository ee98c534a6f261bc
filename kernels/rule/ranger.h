// Ranger without its slow weights (lessw2020/Ranger-Deep-Learning-Optimizer, ranger/ranger.py): rectified Adam on gradients that
// are centralized, which means that each row's mean is taken away. The slow weights are lookahead.h's.
#pragma once

namespace panoptim {

struct Ranger {
    template <class T>
    static PANOPTIM_INLINE RangerSums terms(const RangerScalars<T>& h, T, T g, T, T) {
        return {double(h.maximize ? -g : g)};
    }

    static PANOPTIM_INLINE void finish(const RangerScalars<double>&, uint64_t rows, uint64_t columns, const RangerSums* sums,
                                       RangerReduced* reduced) {
        for (uint64_t row = 0; row < rows; ++row) reduced[row].gradient_mean = sums[row].gradient / double(columns);
    }

    template <class T>
    static PANOPTIM_INLINE void update(const RangerScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        g = h.maximize ? -g : g;
        g = h.centralizes ? g - h.gradient_mean : g;
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        exp_avg = average(exp_avg, h.exp_avg_decay, g, h.exp_avg_weight);
        p = h.decays ? fma(h.decay, p, p) : p;
        T adaptive = addcdiv(p, exp_avg, sqrt(exp_avg_sq) + h.eps, h.step_size);
        p = h.rectified ? adaptive : fma(h.step_size, exp_avg, p);
    }
};

}  // namespace panoptim
