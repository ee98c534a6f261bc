// Follow the regularized leader (keras/src/optimizers/ftrl.py, each of its operations as torch rounds it) with the square root
// for a learning rate's power. ftrl_power.h, which comes after it in the list of rules, shares the update.
#pragma once

namespace panoptim {

template <class Rule, class Scalars, class T>
PANOPTIM_INLINE void follow_the_leader(const Scalars& h, T& p, T g, T& accumulator, T& linear) {
    g = h.maximize ? -g : g;
    T sum = accumulator + g * g;
    T power = Rule::power(h, sum);
    T sigma = (power - Rule::power(h, accumulator)) / h.lr;
    T shrunk = g + h.shrinkage * p;
    linear = linear + (shrunk - sigma * p);
    T quadratic = power / h.lr + T(2) * (h.l2 + reciprocal_times(T(2) * h.lr, h.beta));
    p = (clamp(linear, -h.l1, h.l1) - linear) / quadratic;
    accumulator = sum;
}

struct Ftrl {
    template <class T>
    static PANOPTIM_INLINE void update(const FtrlScalars<T>& h, T& p, T g, T& accumulator, T& linear) {
        follow_the_leader<Ftrl>(h, p, g, accumulator, linear);
    }

    template <class T>
    static PANOPTIM_INLINE T power(const FtrlScalars<T>&, T a) {
        return sqrt(a);
    }
};

}  // namespace panoptim
