// StableAdamW (warner-benjamin/optimi, optimi/stableadamw.py): AdamW whose learning rate each tensor divides by the root mean
// square of its gradient over its second moment, where that is more than 1.
#pragma once

namespace panoptim {

struct StableAdamw {
    template <class T>
    static PANOPTIM_INLINE StableAdamwSums terms(const StableAdamwScalars<T>& h, T, T g, T, T exp_avg_sq) {
        return {double((g * g) / maximum(second_moment(h, g, exp_avg_sq), h.eps_sq))};
    }

    static PANOPTIM_INLINE void finish(const StableAdamwScalars<double>& h, uint64_t, uint64_t elements,
                                       const StableAdamwSums* sums, StableAdamwReduced* reduced) {
        const double rms = sqrt(sums->normed_sq / double(elements));
        const double lr = h.lr / (rms > 1 ? rms : 1);
        reduced->decay = 1 - (h.decouple_lr ? lr / h.max_lr : lr) * h.weight_decay;
        reduced->step_size = -lr;
    }

    template <class T>
    static PANOPTIM_INLINE void update(const StableAdamwScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        exp_avg = lerp(exp_avg, h.maximize ? -g : g, h.exp_avg_weight);
        exp_avg_sq = second_moment(h, g, exp_avg_sq);
        p = addcdiv(p * h.decay, exp_avg, sqrt(exp_avg_sq) + h.eps, h.step_size);
    }

private:
    template <class T>
    static PANOPTIM_INLINE T second_moment(const StableAdamwScalars<T>& h, T g, T exp_avg_sq) {
        return average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
    }
};

}  // namespace panoptim
