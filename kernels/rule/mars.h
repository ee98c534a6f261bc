// MARS (timm/optim/mars.py): AdamW or Lion on gradients whose variance is reduced by those of the step before.
#pragma once

namespace panoptim {

struct Mars {
    template <class T, class... Square>
    static PANOPTIM_INLINE MarsSums terms(const MarsScalars<T>& h, T, T g, T, T last_grad, Square...) {
        const double c = corrected(h, h.maximize ? -g : g, last_grad);
        return {c * c};
    }

    // A corrected gradient is clipped to norm 1.
    static PANOPTIM_INLINE void finish(const MarsScalars<double>&, uint64_t, uint64_t, const MarsSums* sums, MarsReduced* reduced) {
        const double norm = sqrt(sums->corrected_sq);
        reduced->norm = norm > 1 ? norm : 1;
    }

    // Lion has no second moment.
    template <class T>
    static PANOPTIM_INLINE void update(const MarsScalars<T>& h, T& p, T g, T& exp_avg, T& last_grad) {
        average_in(h, g, exp_avg, last_grad);
        descend(h, p, sign(exp_avg));
    }

    template <class T>
    static PANOPTIM_INLINE void update(const MarsScalars<T>& h, T& p, T g, T& exp_avg, T& last_grad, T& exp_avg_sq) {
        T c = average_in(h, g, exp_avg, last_grad);
        T square = average(exp_avg_sq, h.exp_avg_sq_decay, c, c, h.exp_avg_sq_weight);
        T adam = (exp_avg / h.correction) / (sqrt(square) / h.root_correction + h.eps);
        T lion = sign(exp_avg);
        exp_avg_sq = h.lion ? exp_avg_sq : square;
        descend(h, p, h.lion ? lion : adam);
    }

private:
    template <class T>
    static PANOPTIM_INLINE T corrected(const MarsScalars<T>& h, T g, T last_grad) {
        return (g - last_grad) * h.variance_reduction + g;
    }

    // Returns the gradient that entered the average.
    template <class T>
    static PANOPTIM_INLINE T average_in(const MarsScalars<T>& h, T g, T& exp_avg, T& last_grad) {
        g = h.maximize ? -g : g;
        T clipped = corrected(h, g, last_grad) / h.norm;
        T c = h.corrects ? clipped : g;
        exp_avg = average(exp_avg, h.exp_avg_decay, c, h.exp_avg_weight);
        last_grad = g;
        return c;
    }

    template <class T>
    static PANOPTIM_INLINE void descend(const MarsScalars<T>& h, T& p, T direction) {
        p = fma(h.step_size, p * h.weight_decay + direction, p);
    }
};

}  // namespace panoptim
