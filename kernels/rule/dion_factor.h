// The next Q, the value here, in rows instead of columns: R, the gradient here, each row divided by its norm plus eps; the parameter goes
// along the same. Where all of R is zero, as of a momentum of zeros, the last Q stays, normalized, and the parameter does not move
// (microsoft/dion, dion_reference.py).
#pragma once

namespace panoptim {

struct DionFactor {
    template <class T>
    static PANOPTIM_INLINE DionFactorSums terms(const DionFactorScalars<T>&, T previous, T projected, T) {
        return {double(projected) * double(projected), double(previous) * double(previous)};
    }

    static PANOPTIM_INLINE void finish(const DionFactorScalars<double>& h, uint64_t rows, uint64_t, const DionFactorSums* sums,
                                       DionFactorReduced* reduced) {
        double largest = 0;
        for (uint64_t row = 0; row < rows; ++row) largest = maximum(largest, sums[row].factor_sq);
        for (uint64_t row = 0; row < rows; ++row) {
            const double divisor = sqrt(largest == 0 ? sums[row].previous_sq : sums[row].factor_sq) + h.eps;
            reduced[row].divisor = divisor == 0 ? 1 : divisor;
            reduced[row].keeps = largest == 0 ? 1 : 0;
        }
    }

    template <class T>
    static PANOPTIM_INLINE void update(const DionFactorScalars<T>& h, T& previous, T projected, T& factor) {
        const T normed = (h.keeps != 0 ? previous : projected) / h.divisor;
        factor = h.keeps != 0 ? T(0) : normed;
        previous = normed;
    }
};

}  // namespace panoptim
