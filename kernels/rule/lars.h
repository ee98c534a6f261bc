// LARS and LARC (timm/optim/lars.py): SGD whose gradient is rescaled for each tensor to a part of the parameters' norm.
#pragma once

namespace panoptim {

struct Lars {
    template <class T, class... Buffer>
    static PANOPTIM_INLINE LarsSums terms(const LarsScalars<T>&, T p, T g, Buffer...) {
        const double value = p, gradient = g;
        return {value * value, gradient * gradient};
    }

    // Where either norm is zero, or NaN, the ratio is 1, which trust_clip divides by the learning rate as any other.
    static PANOPTIM_INLINE void finish(const LarsScalars<double>& h, uint64_t, uint64_t, const LarsSums* sums, LarsReduced* reduced) {
        const double value = sqrt(sums->value_sq), gradient = sqrt(sums->gradient_sq);
        const double trusted = h.trust_coeff * value / (gradient + value * h.weight_decay + h.eps);
        const double ratio = value > 0 && gradient > 0 ? trusted : 1, clipped = ratio / h.lr;
        reduced->trust_ratio = h.trust_clip ? (clipped > 1 ? 1 : clipped) : ratio;
    }

    template <class T>
    static PANOPTIM_INLINE void update(const LarsScalars<T>& h, T& p, T g) {
        p = fma(h.step_size, adapted(h, p, g), p);
    }

    template <class T>
    static PANOPTIM_INLINE void update(const LarsScalars<T>& h, T& p, T g, T& momentum_buffer) {
        g = adapted(h, p, g);
        T later = average(momentum_buffer, h.momentum, g, h.undampened);
        momentum_buffer = h.first ? g : later;
        T ahead = fma(h.momentum, momentum_buffer, g);
        p = fma(h.step_size, h.nesterov ? ahead : momentum_buffer, p);
    }

private:
    template <class T>
    static PANOPTIM_INLINE T adapted(const LarsScalars<T>& h, T p, T g) {
        g = h.maximize ? -g : g;
        T trusted = fma(h.weight_decay, p, g) * h.trust_ratio;
        return h.adapt ? trusted : g;
    }
};

}  // namespace panoptim
