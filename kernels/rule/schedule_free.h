// Schedule-Free SGD, AdamW and RAdam (facebookresearch/schedule_free): the parameter is y, between the point z that the
// optimizer moves and the average x of its points, which is never stored. The first step copies the parameter to z; its lerp, by
// exactly 1, turns -0 into +0, as torch's does but for the last few elements of a tensor.
#pragma once

namespace panoptim {

struct ScheduleFree {
    template <class T>
    static PANOPTIM_INLINE void update(const ScheduleFreeScalars<T>& h, T& y, T g, T& z) {
        move(h, y, regularized(h, y, g), z);
    }

    template <class T>
    static PANOPTIM_INLINE void update(const ScheduleFreeScalars<T>& h, T& y, T g, T& z, T& exp_avg_sq) {
        g = h.maximize ? -g : g;
        T normed = g / denominator(h, g, exp_avg_sq);
        move(h, y, decayed(h, y, h.adaptive ? normed : g), z);
    }

    // With inner momentum.
    template <class T>
    static PANOPTIM_INLINE void update(const ScheduleFreeScalars<T>& h, T& y, T g, T& z, T& exp_avg_sq, T& exp_avg) {
        g = h.maximize ? -g : g;
        exp_avg = average(exp_avg, h.exp_avg_decay, g, h.exp_avg_weight);
        T normed = (exp_avg / h.exp_avg_correction) / denominator(h, g, exp_avg_sq);
        move(h, y, decayed(h, y, normed), z);
    }

private:
    template <class T>
    static PANOPTIM_INLINE T denominator(const ScheduleFreeScalars<T>& h, T g, T& exp_avg_sq) {
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        return sqrt(exp_avg_sq / h.exp_avg_sq_correction) + h.eps;
    }

    template <class T>
    static PANOPTIM_INLINE T decayed(const ScheduleFreeScalars<T>& h, T y, T direction) {
        return h.l2 ? fma(h.weight_decay, y, direction) : direction;
    }

    template <class T>
    static PANOPTIM_INLINE void move(const ScheduleFreeScalars<T>& h, T& y, T direction, T& z) {
        z = h.first ? y : z;
        y = fma(h.step_size, direction, lerp(y, z, h.z_weight));
        z = fma(h.z_step_size, direction, z);
    }
};

}  // namespace panoptim
