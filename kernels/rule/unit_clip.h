// Clipping of a gradient, the value here, unit by unit, which is a row: by a part of the norm of its parameters, the gradient here
// (timm/utils/agc.py, adaptive_clip_grad), or by a fixed norm.
#pragma once

namespace panoptim {

struct UnitClip {
    template <class T>
    static PANOPTIM_INLINE UnitClipSums terms(const UnitClipScalars<T>&, T g, T p) {
        const double gradient = g, parameter = p;
        return {gradient * gradient, parameter * parameter};
    }

    static PANOPTIM_INLINE void finish(const UnitClipScalars<double>& h, uint64_t rows, uint64_t, const UnitClipSums* sums,
                                       UnitClipReduced* reduced) {
        for (uint64_t row = 0; row < rows; ++row) {
            const double norm = sqrt(sums[row].value_sq);
            const double most = h.fixed ? h.clipping : maximum(sqrt(sums[row].gradient_sq), h.eps) * h.clipping;
            const double coefficient = most / maximum(norm, 1e-6);
            reduced[row].coefficient = norm < most ? 1 : coefficient;
        }
    }

    template <class T>
    static PANOPTIM_INLINE void update(const UnitClipScalars<T>& h, T& g, T) {
        g = g * h.coefficient;
    }
};

}  // namespace panoptim
