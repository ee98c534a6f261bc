// What Muon orthogonalizes (torch/optim/_muon.py): the average of the gradients, or a step from the gradient towards it, divided by its
// norm, which is at least eps, or in KellerJordan/Muon has eps added. The value is the average.
#pragma once

namespace panoptim {

struct MuonDirection {
    template <class T>
    static PANOPTIM_INLINE MuonDirectionSums terms(const MuonDirectionScalars<T>& h, T average, T g, T) {
        const double update = direction(h, lerp(average, g, h.momentum_weight), g);
        return {update * update};
    }

    static PANOPTIM_INLINE void finish(const MuonDirectionScalars<double>& h, uint64_t, uint64_t, const MuonDirectionSums* sums,
                                       MuonDirectionReduced* reduced) {
        const double norm = sqrt(sums->update_sq);
        reduced->norm = h.adds_eps ? norm + h.eps : maximum(norm, h.eps);
    }

    template <class T>
    static PANOPTIM_INLINE void update(const MuonDirectionScalars<T>& h, T& average, T g, T& update) {
        average = lerp(average, g, h.momentum_weight);
        update = direction(h, average, g) / h.norm;
    }

private:
    template <class T>
    static PANOPTIM_INLINE T direction(const MuonDirectionScalars<T>& h, T average, T g) {
        T ahead = lerp(g, average, h.momentum);
        return h.nesterov ? ahead : average;
    }
};

}  // namespace panoptim
