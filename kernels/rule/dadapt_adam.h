// D-Adaptation of Adam (facebookresearch/dadaptation, dadaptation/dadapt_adam.py): its step size d is estimated over all tensors.
#pragma once

namespace panoptim {

struct DadaptAdam {
    // What the sums are of depends on the last step's d.
    static PANOPTIM_INLINE void prepare(const DadaptAdamScalars<double>& h, DadaptAdamReduced* reduced, double* d, double*) {
        const double dlr = *d * h.lr * h.correction;
        reduced->average_weight = dlr * h.exp_avg_weight;
        reduced->sum_weight = dlr * h.s_weight;
    }

    // The second moment is that of the gradients before this one.
    template <class T>
    static PANOPTIM_INLINE DadaptAdamSums terms(const DadaptAdamScalars<T>& h, T p, T g, T, T exp_avg_sq, T s) {
        const double gradient = regularized(h, p, g), direction = s / (sqrt(exp_avg_sq) + h.eps),
                     sum = gradient_sum(h, regularized(h, p, g), s), scale = h.layer_scale;
        return {h.frozen ? 0.0 : scale * (gradient * direction), h.frozen ? 0.0 : scale * (sum < 0 ? -sum : sum)};
    }

    // Without progress nothing moves.
    static PANOPTIM_INLINE void finish(const DadaptAdamScalars<double>& h, uint64_t, uint64_t, const DadaptAdamSums* sums,
                                       DadaptAdamReduced* reduced, double* d, double* numerator_weighted) {
        const double dlr = *d * h.lr * h.correction;
        const int moves = !(sums->s_norm == 0);
        const double numerator = h.s_decay * *numerator_weighted + h.s_weight * (dlr * sums->numerator);
        const double estimate = numerator / (h.s_weight * sums->s_norm);
        if (moves) {
            const double most = *d * h.growth_rate < estimate ? *d * h.growth_rate : estimate;
            *d = most > *d ? most : *d;
            *numerator_weighted = numerator;
        }
        reduced->decay_size = moves ? -dlr : 0;
        reduced->step_size = moves ? -1 : 0;
    }

    // What is frozen stands still.
    template <class T>
    static PANOPTIM_INLINE void update(const DadaptAdamScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq, T& s) {
        g = regularized(h, p, g);
        T later = average(exp_avg, h.exp_avg_decay, g, h.layer_scale * h.average_weight);
        T square = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        exp_avg = h.frozen ? exp_avg : later;
        exp_avg_sq = h.frozen ? exp_avg_sq : square;
        s = h.frozen ? s : gradient_sum(h, g, s);
        T decayed = fma(h.weight_decay * h.decay_size, p, p);
        T moved = addcdiv(h.decoupled ? decayed : p, exp_avg, sqrt(exp_avg_sq) + h.eps, h.step_size);
        p = h.frozen ? p : moved;
    }

private:
    template <class T>
    static PANOPTIM_INLINE T gradient_sum(const DadaptAdamScalars<T>& h, T g, T s) {
        return average(s, h.s_decay, g, h.sum_weight);
    }
};

}  // namespace panoptim
