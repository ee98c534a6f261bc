// A step along what is projected back, which is the gradient here, and then decay (nikhilvyas/SOAP, soap.py).
#pragma once

namespace panoptim {

struct SoapUpdate {
    template <class T>
    static PANOPTIM_INLINE SoapUpdateSums terms(const SoapUpdateScalars<T>&, T, T direction) {
        return {double(direction) * double(direction)};
    }

    static PANOPTIM_INLINE void finish(const SoapUpdateScalars<double>&, uint64_t, uint64_t columns, const SoapUpdateSums* sums,
                                       SoapUpdateReduced* reduced) {
        reduced->size = 1e-30 + sqrt(sums->update_sq / double(columns));
    }

    template <class T>
    static PANOPTIM_INLINE void update(const SoapUpdateScalars<T>& h, T& p, T direction) {
        T normalized = direction / h.size;
        p = fma(h.step_size, h.normalizes ? normalized : direction, p);
        p = fma(h.decay, p, p);
    }
};

}  // namespace panoptim
