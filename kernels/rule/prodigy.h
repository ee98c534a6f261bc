// Prodigy (konstmish/prodigy, prodigyopt/prodigy.py): Adam whose step size d is estimated over all tensors from the distance
// to where they began.
#pragma once

namespace panoptim {

struct Prodigy {
    // What the sums are of depends on the last step's d. (Multiplied and divided from left to right, as in the source.)
    static PANOPTIM_INLINE void prepare(const ProdigyScalars<double>& h, ProdigyReduced* reduced, double* d, double*, double*) {
        const double part = *d / h.d0, dlr = *d * h.lr * h.correction;
        reduced->average_weight = *d * h.exp_avg_weight;
        reduced->square_weight = *d * *d * h.exp_avg_sq_weight;
        reduced->s_weight = part * (h.safeguard_warmup ? *d : dlr);
    }

    template <class T, class... Average>
    static PANOPTIM_INLINE ProdigySums terms(const ProdigyScalars<T>& h, T p, T g, T, T s, T p0, Average...) {
        const T gradient = regularized(h, p, g), sum = distance_sum(h, gradient, s);
        const double product = double(gradient) * double(p0 - p), size = sum < 0 ? -sum : sum;
        return {h.frozen ? 0.0 : product, h.frozen ? 0.0 : size};
    }

    // Without progress nothing moves.
    static PANOPTIM_INLINE void finish(const ProdigyScalars<double>& h, uint64_t, uint64_t, const ProdigySums* sums,
                                       ProdigyReduced* reduced, double* d, double* d_max, double* d_numerator) {
        const double before = *d;
        const double dlr = before * h.lr * h.correction;
        const int moves = !(sums->s_norm == 0);
        const double numerator = *d_numerator * h.s_decay + before / h.d0 * dlr * sums->numerator;
        const double estimate = h.d_coef * numerator / sums->s_norm;
        if (moves) {
            const double least = before == h.d0 && estimate > before ? estimate : before;
            *d_max = estimate > *d_max ? estimate : *d_max;
            *d = least * h.growth_rate < *d_max ? least * h.growth_rate : *d_max;
            *d_numerator = numerator;
        }
        reduced->step_size = moves ? -dlr : 0;
        reduced->gradient_step_size = moves ? -dlr * *d : 0;
        reduced->scaled_eps = *d * h.eps;
    }

    // Without a decay rate for the average there is none, and the gradient takes its place. What is frozen stands still.
    template <class T, class... Average>
    static PANOPTIM_INLINE void update(const ProdigyScalars<T>& h, T& p, T g, T& exp_avg_sq, T& s, T& p0, Average&... exp_avg) {
        (void)p0;
        g = regularized(h, p, g);
        T square = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.square_weight);
        exp_avg_sq = h.frozen ? exp_avg_sq : square;
        s = h.frozen ? s : distance_sum(h, g, s);
        T direction = g, step_size = h.gradient_step_size;
        ((exp_avg = averaged(h, g, exp_avg), direction = exp_avg, step_size = h.step_size), ...);
        T decayed = fma(h.weight_decay * h.step_size, p, p);
        T moved = addcdiv(h.decoupled ? decayed : p, direction, sqrt(exp_avg_sq) + h.scaled_eps, step_size);
        p = h.frozen ? p : moved;
    }

private:
    template <class T>
    static PANOPTIM_INLINE T averaged(const ProdigyScalars<T>& h, T g, T exp_avg) {
        T later = average(exp_avg, h.exp_avg_decay, g, h.average_weight);
        return h.frozen ? exp_avg : later;
    }

    template <class T>
    static PANOPTIM_INLINE T distance_sum(const ProdigyScalars<T>& h, T g, T s) {
        return average(s, h.s_decay, g, h.s_weight);
    }
};

}  // namespace panoptim
