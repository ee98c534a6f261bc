// A step along Shampoo's direction, which is the gradient here, with decoupled decay and momentum (facebookresearch/optimizers,
// distributed_shampoo.py, _apply_weight_decay and _apply_classic_momentum).
#pragma once

namespace panoptim {

struct ShampooUpdate {
    template <class T>
    static PANOPTIM_INLINE void update(const ShampooUpdateScalars<T>& h, T& p, T direction) {
        p = p + decayed(h, p, direction) * h.step_size;
    }

    template <class T>
    static PANOPTIM_INLINE void update(const ShampooUpdateScalars<T>& h, T& p, T direction, T& momentum_buffer) {
        direction = decayed(h, p, direction);
        momentum_buffer = average(momentum_buffer, h.momentum, direction, h.undampened);
        T ahead = fma(h.momentum, momentum_buffer, direction * h.undampened);
        p = p + (h.nesterov ? ahead : momentum_buffer) * h.step_size;
    }

private:
    template <class T>
    static PANOPTIM_INLINE T decayed(const ShampooUpdateScalars<T>& h, T p, T direction) {
        T with = fma(h.weight_decay, p, direction);
        return h.decays ? with : direction;
    }
};

}  // namespace panoptim
