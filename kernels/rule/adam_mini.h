// Adam-mini (zyushun/Adam-mini, adam_mini/adam_mini.py): one second moment for each block, which is a row here.
#pragma once

namespace panoptim {

struct AdamMini {
    template <class T>
    static PANOPTIM_INLINE AdamMiniSums terms(const AdamMiniScalars<T>&, T, T g, T) {
        return {double(g) * double(g)};
    }

    static PANOPTIM_INLINE void finish(const AdamMiniScalars<double>& h, uint64_t rows, uint64_t columns,
                                       const AdamMiniSums* sums, AdamMiniReduced* reduced, double* vmean) {
        for (uint64_t row = 0; row < rows; ++row) {
            vmean[row] = vmean[row] * h.vmean_decay + h.vmean_weight * (sums[row].gradient_sq / double(columns));
            reduced[row].block_step_size = h.step_size / (sqrt(vmean[row]) / h.root_correction + h.eps);
        }
    }

    template <class T>
    static PANOPTIM_INLINE void update(const AdamMiniScalars<T>& h, T& p, T g, T& m) {
        m = lerp(m, h.maximize ? -g : g, h.m_weight);
        p = fma(h.block_step_size, m, p * h.decay);
    }
};

}  // namespace panoptim
