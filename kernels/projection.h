// What AdamP and SGDP have in common (timm, adamp.py; Heo et al., Slowing Down the Weight Norm Increase in Momentum-based
// Optimizers): a step loses its part along the parameters where these are orthogonal to the gradient. That is looked for in each
// row, a channel, and if it is not so in all of them, in the tensor as a whole.
#pragma once

namespace panoptim {

struct Projection {
    template <class Scalars, class Sums, class Reduced>
    static PANOPTIM_INLINE void finish(const Scalars& h, uint64_t rows, uint64_t columns, const Sums* sums, Reduced* reduced) {
        bool all_rows = true;
        Sums whole = {0, 0, 0, 0};
        for (uint64_t row = 0; row < rows; ++row) {
            all_rows &= orthogonal(h, columns, sums[row]);
            whole.value_gradient += sums[row].value_gradient;
            whole.gradient_sq += sums[row].gradient_sq;
            whole.value_sq += sums[row].value_sq;
            whole.value_step += sums[row].value_step;
        }
        const bool projected = all_rows || orthogonal(h, rows * columns, whole);
        for (uint64_t row = 0; row < rows; ++row) {
            const Sums& view = all_rows ? sums[row] : whole;
            const double norm = sqrt(view.value_sq) + h.eps;
            reduced[row].projected = projected;
            reduced[row].radial = projected ? view.value_step / norm / norm : 0;
        }
    }

    // Decays the parameter, less if the step was projected, and takes the step.
    template <class Scalars, class T>
    static PANOPTIM_INLINE T descend(const Scalars& h, T p, T step) {
        int projected = h.projects & (h.projected != 0);
        step = projected ? fma(-h.radial, p, step) : step;
        return fma(h.step_size, step, p * (projected ? h.projected_decay : h.decay));
    }

private:
    // By torch's cosine_similarity: norms count as at least eps. A NaN is not orthogonal.
    template <class Scalars, class Sums>
    static PANOPTIM_INLINE bool orthogonal(const Scalars& h, uint64_t elements, const Sums& sums) {
        const double gradient = sqrt(sums.gradient_sq), value = sqrt(sums.value_sq);
        const double cosine = sums.value_gradient / (gradient < h.eps ? h.eps : gradient) / (value < h.eps ? h.eps : value);
        return (cosine < 0 ? -cosine : cosine) < h.delta / sqrt(double(elements));
    }
};

}  // namespace panoptim
