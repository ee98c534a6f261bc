// ADOPT (iShohei220/adopt, src/adopt/adopt.py): the second moment of the gradients before this one normalizes it.
#pragma once
#include "cautious.h"

namespace panoptim {

struct Adopt : Cautious {
    template <class T>
    static PANOPTIM_INLINE AdoptSums terms(const AdoptScalars<T>& h, T p, T g, T exp_avg, T exp_avg_sq) {
        g = regularized(h, p, g);
        return {agreeing(moved(h, g, exp_avg, exp_avg_sq), g)};
    }

    // The first step fills the second moment and leaves the parameter as it is.
    template <class T>
    static PANOPTIM_INLINE void update(const AdoptScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        g = regularized(h, p, g);
        T average_now = moved(h, g, exp_avg, exp_avg_sq);
        T decayed = h.decoupled ? fma(h.decay, p, p) : p;
        T updated = fma(h.step_size, cautious(h, average_now, g), decayed);
        T later = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        exp_avg = h.first ? exp_avg : average_now;
        p = h.first ? p : updated;
        exp_avg_sq = h.first ? fma(g, g, exp_avg_sq) : later;
    }

private:
    template <class T>
    static PANOPTIM_INLINE T moved(const AdoptScalars<T>& h, T g, T exp_avg, T exp_avg_sq) {
        T root = sqrt(exp_avg_sq);
        T normed = clamp(g / (root < h.eps ? h.eps : root), -h.clip, h.clip);
        return lerp(exp_avg, normed, h.exp_avg_weight);
    }
};

}  // namespace panoptim
