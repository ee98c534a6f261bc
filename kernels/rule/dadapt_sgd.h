// D-Adaptation of SGD (facebookresearch/dadaptation, dadaptation/dadapt_sgd.py): its step size d is estimated over all tensors.
#pragma once

namespace panoptim {

struct DadaptSgd {
    // The norm of the first gradient that is not zero is the unit of d. It is not known before that step's sums, but then
    // nothing has been summed up yet, and the step's own sums say nothing about d.
    static PANOPTIM_INLINE void prepare(const DadaptSgdScalars<double>& h, DadaptSgdReduced* reduced, double* d, double*,
                                        double* g0_norm) {
        reduced->sum_weight = *g0_norm == 0 ? 0 : *d * h.lr / *g0_norm;
    }

    // The first norm is taken without the penalty, as in the source.
    template <class T>
    static PANOPTIM_INLINE DadaptSgdSums terms(const DadaptSgdScalars<T>& h, T p, T g, T s, T) {
        const double plain = g, gradient = regularized(h, p, g), before = s, sum = gradient_sum(h, regularized(h, p, g), s);
        return {h.frozen ? 0.0 : plain * plain, h.frozen ? 0.0 : gradient * before, h.frozen ? 0.0 : sum * sum};
    }

    // Without progress nothing moves.
    static PANOPTIM_INLINE void finish(const DadaptSgdScalars<double>& h, uint64_t, uint64_t, const DadaptSgdSums* sums,
                                       DadaptSgdReduced* reduced, double* d, double* numerator_weighted, double* g0_norm) {
        const int first = *g0_norm == 0;
        if (first) *g0_norm = sqrt(sums->gradient_sq);
        const int moves = !((first ? *g0_norm : sums->s_sq) == 0);
        const double dlr = moves ? *d * h.lr / *g0_norm : 0;
        reduced->sum_weight = dlr;
        reduced->moves = moves;
        if (first || !moves) return;
        *numerator_weighted += dlr * sums->numerator;
        const double estimate = 2 * *numerator_weighted / sqrt(sums->s_sq);
        const double most = *d * h.growth_rate < estimate ? *d * h.growth_rate : estimate;
        *d = most > *d ? most : *d;
    }

    // What is frozen stands still.
    template <class T>
    static PANOPTIM_INLINE void update(const DadaptSgdScalars<T>& h, T& p, T g, T& s, T& x0) {
        T sum = gradient_sum(h, regularized(h, p, g), s);
        s = h.frozen ? s : sum;
        T moved = average(p, h.momentum, x0 - s, h.rate);
        moved = h.moves != 0 ? moved : p;
        p = h.frozen ? p : moved;
    }

private:
    template <class T>
    static PANOPTIM_INLINE T gradient_sum(const DadaptSgdScalars<T>& h, T g, T s) {
        return fma(h.sum_weight, g, s);
    }
};

}  // namespace panoptim
