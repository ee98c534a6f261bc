// A step along an orthogonalized matrix, which is the gradient here (torch/optim/_muon.py).
#pragma once

namespace panoptim {

struct MuonUpdate {
    template <class T>
    static PANOPTIM_INLINE void update(const MuonUpdateScalars<T>& h, T& p, T orthogonal) {
        p = fma(h.step_size, orthogonal, p * h.decay);
    }
};

}  // namespace panoptim
