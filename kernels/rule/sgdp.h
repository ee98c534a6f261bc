// SGDP (timm/optim/sgdp.py): stochastic gradient descent with momentum, its step projected.
#pragma once
#include "projection.h"

namespace panoptim {

struct Sgdp : Projection {
    template <class T>
    static PANOPTIM_INLINE SgdpSums terms(const SgdpScalars<T>& h, T p, T g, T momentum) {
        g = h.maximize ? -g : g;
        const double step = direction(h, g, momentum);
        return {double(p) * double(g), double(g) * double(g), double(p) * double(p), double(p) * step};
    }

    template <class T>
    static PANOPTIM_INLINE void update(const SgdpScalars<T>& h, T& p, T g, T& momentum) {
        g = h.maximize ? -g : g;
        p = descend(h, p, direction(h, g, momentum));
    }

private:
    template <class T>
    static PANOPTIM_INLINE T direction(const SgdpScalars<T>& h, T g, T& momentum) {
        momentum = average(momentum, h.momentum, g, h.undampened);
        T ahead = g + h.momentum * momentum;
        return h.nesterov ? ahead : momentum;
    }
};

}  // namespace panoptim
