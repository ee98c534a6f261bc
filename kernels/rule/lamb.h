// LAMB (timm/optim/lamb.py): Adam's step, rescaled for each tensor by the ratio of the parameters' norm to its own.
#pragma once

namespace panoptim {

struct Lamb {
    template <class T>
    static PANOPTIM_INLINE LambSums terms(const LambScalars<T>& h, T p, T g, T exp_avg, T exp_avg_sq) {
        const double value = decayed(h, p), direction = step(h, decayed(h, p), g, exp_avg, exp_avg_sq);
        return {value * value, direction * direction};
    }

    // Where either norm is zero, or NaN, the step is taken as it is.
    static PANOPTIM_INLINE void finish(const LambScalars<double>& h, uint64_t, uint64_t, const LambSums* sums, LambReduced* reduced) {
        const double value = sqrt(sums->value_sq), direction = sqrt(sums->step_sq);
        const double ratio = value > 0 && direction > 0 ? value / direction : 1;
        reduced->trust_ratio = h.trust_clip && ratio > 1 ? 1 : ratio;
    }

    template <class T>
    static PANOPTIM_INLINE void update(const LambScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        p = decayed(h, p);
        T direction = step(h, p, g, exp_avg, exp_avg_sq);
        T adapted = direction * h.trust_ratio;
        p = fma(h.step_size, h.adapt ? adapted : direction, p);
    }

private:
    template <class T>
    static PANOPTIM_INLINE T decayed(const LambScalars<T>& h, T p) {
        return h.decoupled ? fma(h.decay, p, p) : p;
    }

    template <class T>
    static PANOPTIM_INLINE T step(const LambScalars<T>& h, T p, T g, T& exp_avg, T& exp_avg_sq) {
        g = (h.maximize ? -g : g) / h.clip;
        exp_avg = average(exp_avg, h.exp_avg_decay, g, h.exp_avg_weight);
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        T direction = (exp_avg / h.correction) / (sqrt(exp_avg_sq) / h.root_correction + h.eps);
        return h.coupled ? fma(h.weight_decay, p, direction) : direction;
    }
};

}  // namespace panoptim
