// AdamP (timm/optim/adamp.py): Adam, its step projected.
#pragma once
#include "projection.h"

namespace panoptim {

struct Adamp : Projection {
    template <class T>
    static PANOPTIM_INLINE AdampSums terms(const AdampScalars<T>& h, T p, T g, T exp_avg, T exp_avg_sq) {
        g = h.maximize ? -g : g;
        const double step = direction(h, g, exp_avg, exp_avg_sq);
        return {double(p) * double(g), double(g) * double(g), double(p) * double(p), double(p) * step};
    }

    template <class T>
    static PANOPTIM_INLINE void update(const AdampScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq) {
        g = h.maximize ? -g : g;
        p = descend(h, p, direction(h, g, exp_avg, exp_avg_sq));
    }

private:
    template <class T>
    static PANOPTIM_INLINE T direction(const AdampScalars<T>& h, T g, T& exp_avg, T& exp_avg_sq) {
        exp_avg = average(exp_avg, h.exp_avg_decay, g, h.exp_avg_weight);
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, h.exp_avg_sq_weight);
        T ahead = h.exp_avg_decay * exp_avg + h.exp_avg_weight * g;
        return (h.nesterov ? ahead : exp_avg) / (sqrt(exp_avg_sq) / h.root_correction + h.eps);
    }
};

}  // namespace panoptim
