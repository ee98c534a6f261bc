// The slow weights of Lookahead (timm/optim/lookahead.py): they follow the parameter, which then goes on from them.
#pragma once

namespace panoptim {

struct Lookahead {
    // They start as the parameter is. It may be the turn of some tensors only.
    template <class T>
    static PANOPTIM_INLINE void update(const LookaheadScalars<T>& h, T& p, T, T& slow_buffer) {
        T before = h.starts ? p : slow_buffer;
        T slow = fma(h.alpha, p - before, before);
        slow_buffer = h.follows ? slow : before;
        p = h.follows ? slow : p;
    }
};

}  // namespace panoptim
