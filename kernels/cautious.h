// What the rules have in common that can be cautious (Liang et al., Cautious Optimizers; timm's caution).
#pragma once

namespace panoptim {

// What follows from a cautious rule's sum: the part of a tensor whose steps go the gradient's way, which is taken for at least
// a thousandth.
struct Cautious {
    template <class Scalars, class Sums, class Reduced>
    static PANOPTIM_INLINE void finish(const Scalars&, uint64_t, uint64_t elements, const Sums* sums, Reduced* reduced) {
        const double part = sums->agreeing / double(elements);
        reduced->agreement = part < 1e-3 ? 1e-3 : part;
    }

protected:
    // What an element adds to that sum.
    template <class T>
    static PANOPTIM_INLINE double agreeing(T step, T g) {
        return step * g > 0 ? 1.0 : 0.0;
    }

    // The step to take: none against the gradient, and the rest larger by as much as there is less of it.
    template <class Scalars, class T>
    static PANOPTIM_INLINE T cautious(const Scalars& h, T step, T g) {
        T mask = (step * g > 0 ? T(1) : T(0)) / h.agreement;
        return h.cautious ? step * mask : step;
    }
};

}  // namespace panoptim
