// LAMB (apex, csrc/multi_tensor_lamb.cu; You et al., Large Batch Optimization for Deep Learning): AdamW's step, rescaled for
// each tensor to the norm of its parameters.
#pragma once

namespace panoptim {

struct Lamb {
    template <class T>
    static PANOPTIM_INLINE LambSums terms(const LambScalars<T>& h, T p, T g, T exp_avg, T exp_avg_sq) {
        const double direction = step(h, p, g, exp_avg, exp_avg_sq);
        return {double(p) * double(p), direction * direction};
    }

    // Where either norm is zero the step is taken as it is.
    static PANOPTIM_INLINE void finish(const LambScalars<double>&, uint64_t, uint64_t, const LambSums* sums, LambReduced* reduced) {
        const double value = sqrt(sums->value_sq), direction = sqrt(sums->step_sq);
        reduced->trust_ratio = value > 0 && direction > 0 ? value / direction : 1;
    }

    template <class T>
    static PANOPTIM_INLINE void update(const LambScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        T direction = step(h, p, g, exp_avg, exp_avg_sq);
        p = fma(h.lr * h.trust_ratio, direction, p);
    }

private:
    template <class T>
    static PANOPTIM_INLINE T step(const LambScalars<T>& h, T p, T g, T& exp_avg, T& exp_avg_sq) {
        g = h.maximize ? -g : g;
        exp_avg = lerp(exp_avg, g, h.exp_avg_weight);
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        T denominator = sqrt(exp_avg_sq) / h.root_correction + h.eps;
        return fma(h.weight_decay, p, (exp_avg / h.correction) / denominator);
    }
};

}  // namespace panoptim
