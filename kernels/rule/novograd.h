// NovoGrad (timm/optim/nvnovograd.py): the second moment is one number for each tensor, of the gradient's norm.
#pragma once

namespace panoptim {

struct Novograd {
    template <class T>
    static PANOPTIM_INLINE NovogradSums terms(const NovogradScalars<T>&, T, T g, T) {
        const double gradient = g;
        return {gradient * gradient};
    }

    // The second moment begins with the first gradient that is not zero.
    static PANOPTIM_INLINE void finish(const NovogradScalars<double>& h, uint64_t, uint64_t, const NovogradSums* sums,
                                       NovogradReduced* reduced, double* exp_avg_sq, double* max_exp_avg_sq) {
        const double later = average(*exp_avg_sq, h.exp_avg_sq_decay, sums->gradient_sq, h.exp_avg_sq_weight);
        *exp_avg_sq = *exp_avg_sq == 0 ? sums->gradient_sq : later;
        if (h.amsgrad) *max_exp_avg_sq = maximum(*max_exp_avg_sq, *exp_avg_sq);
        reduced->denominator = sqrt(h.amsgrad ? *max_exp_avg_sq : *exp_avg_sq) + h.eps;
    }

    template <class T>
    static PANOPTIM_INLINE void update(const NovogradScalars<T>& h, T& p, T g, T& exp_avg) {
        g = (h.maximize ? -g : g) / h.denominator;
        g = (h.l2 ? fma(h.weight_decay, p, g) : g) * h.exp_avg_weight;
        exp_avg = exp_avg * h.exp_avg_decay + g;
        p = fma(h.step_size, exp_avg, p);
    }
};

}  // namespace panoptim
