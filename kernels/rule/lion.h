// Lion (timm/optim/lion.py): the sign of an average, its momentum decayed at another rate.
#pragma once

namespace panoptim {

struct Lion {
    template <class T>
    static PANOPTIM_INLINE void update(const LionScalars<T>& h, T& p, T g, T& exp_avg) {
        g = h.maximize ? -g : g;
        p = p * h.decay;
        T direction = average(exp_avg, h.direction_decay, g, h.direction_weight);
        p = fma(h.step_size, sign(direction), p);
        exp_avg = lerp(exp_avg, g, h.exp_avg_weight);
    }
};

}  // namespace panoptim
