// A step along an orthogonalized matrix, which is the gradient here, whose rows are divided by the root of their average mean square; the
// whole keeps its norm (zichongli5/NorMuon, normuon.py).
#pragma once

namespace panoptim {

struct NormuonUpdate {
    template <class T>
    static PANOPTIM_INLINE NormuonUpdateSums terms(const NormuonUpdateScalars<T>&, T, T orthogonal) {
        return {double(orthogonal) * double(orthogonal)};
    }

    static PANOPTIM_INLINE void finish(const NormuonUpdateScalars<double>& h, uint64_t rows, uint64_t columns,
                                       const NormuonUpdateSums* sums, NormuonUpdateReduced* reduced, double* second_momentum_buffer) {
        double norm_sq = 0;
        double normed_sq = 0;
        for (uint64_t row = 0; row < rows; ++row) {
            double& average = second_momentum_buffer[row];
            average = lerp(average, sums[row].update_sq / double(columns), h.second_momentum_weight);
            const double divisor = sqrt(average) + h.eps;
            norm_sq += sums[row].update_sq;
            normed_sq += sums[row].update_sq / divisor / divisor;
        }
        const double step_size = h.step_size * (sqrt(norm_sq) / (sqrt(normed_sq) + h.eps));
        for (uint64_t row = 0; row < rows; ++row) {
            reduced[row].row_step_size = step_size / (sqrt(second_momentum_buffer[row]) + h.eps);
        }
    }

    template <class T>
    static PANOPTIM_INLINE void update(const NormuonUpdateScalars<T>& h, T& p, T orthogonal) {
        p = fma(h.row_step_size, orthogonal, p * h.decay);
    }
};

}  // namespace panoptim
