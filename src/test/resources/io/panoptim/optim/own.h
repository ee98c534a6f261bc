// The rule of io.panoptim.optim.OwnOptimizer: with an optional state, flags, and every kind of operation.
#include "user_rule.h"

PANOPTIM_RULE(own, Own, (exp_avg)(exp_avg_sq), (max_exp_avg_sq), (decay)(exp_avg_weight)(exp_avg_sq_decay)(eps)(step_size),
              (maximize)(signs))

namespace panoptim {

struct Own {
    template <class T, class... Maximum>
    static PANOPTIM_INLINE void update(const OwnScalars<T>& h, T& p, T g, T& exp_avg, T& exp_avg_sq, Maximum&... max_exp_avg_sq) {
        g = h.maximize ? -g : g;
        exp_avg = lerp(exp_avg, g, h.exp_avg_weight);
        exp_avg_sq = average(exp_avg_sq, h.exp_avg_sq_decay, g, g, T(1) - h.exp_avg_sq_decay);
        T second_moment = exp_avg_sq;
        ((second_moment = max_exp_avg_sq = maximum(max_exp_avg_sq, exp_avg_sq)), ...);
        T direction = sign(exp_avg);
        T step = exp_avg / (sqrt(second_moment) + h.eps);
        p = fma(h.step_size, h.signs ? direction : step, p * h.decay);
    }
};

}  // namespace panoptim
