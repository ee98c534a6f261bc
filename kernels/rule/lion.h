// Lion (timm/optim/lion.py): the sign of an average, its momentum decayed at another rate.
#pragma once
#include "cautious.h"

namespace panoptim {

struct Lion : Cautious {
    template <class T>
    static PANOPTIM_INLINE LionSums terms(const LionScalars<T>& h, T, T g, T exp_avg) {
        g = h.maximize ? -g : g;
        return {agreeing(direction(h, g, exp_avg), g)};
    }

    template <class T>
    static PANOPTIM_INLINE void update(const LionScalars<T>& h, T& p, T g, T& exp_avg) {
        g = h.maximize ? -g : g;
        p = p * h.decay;
        p = fma(h.step_size, cautious(h, direction(h, g, exp_avg), g), p);
        exp_avg = lerp(exp_avg, g, h.exp_avg_weight);
    }

private:
    template <class T>
    static PANOPTIM_INLINE T direction(const LionScalars<T>& h, T g, T exp_avg) {
        return sign(average(exp_avg, h.direction_decay, g, h.direction_weight));
    }
};

}  // namespace panoptim
