// RMSprop (torch/optim/rmsprop.py). Centered with a steady gradient the variance can fall below 0 by rounding: then the
// parameter becomes NaN, as in torch.
#pragma once

namespace panoptim {

struct Rmsprop {
    template <class T>
    static PANOPTIM_INLINE void update(const RmspropScalars<T>& h, T& p, T g, T& square_avg) {
        g = regularized(h, p, g);
        square_avg = average(square_avg, h.alpha, g, g, h.alpha_weight);
        p = addcdiv(p, g, sqrt(square_avg) + h.eps, h.step_size);
    }

    // With one more state this is the average gradient of the centered form, or else the momentum buffer.
    template <class T>
    static PANOPTIM_INLINE void update(const RmspropScalars<T>& h, T& p, T g, T& square_avg, T& other) {
        g = regularized(h, p, g);
        square_avg = average(square_avg, h.alpha, g, g, h.alpha_weight);
        T grad_avg = lerp(other, g, h.alpha_weight);
        T denominator = sqrt(h.centered ? variance(square_avg, grad_avg) : square_avg) + h.eps;
        T momentum_buffer = accelerated(h, other, g, denominator);
        other = h.centered ? grad_avg : momentum_buffer;
        T without = addcdiv(p, g, denominator, h.step_size);
        T with = fma(h.step_size, momentum_buffer, p);
        p = h.centered ? without : with;
    }

    template <class T>
    static PANOPTIM_INLINE void update(const RmspropScalars<T>& h, T& p, T g, T& square_avg, T& momentum_buffer, T& grad_avg) {
        g = regularized(h, p, g);
        square_avg = average(square_avg, h.alpha, g, g, h.alpha_weight);
        grad_avg = lerp(grad_avg, g, h.alpha_weight);
        T denominator = sqrt(variance(square_avg, grad_avg)) + h.eps;
        momentum_buffer = accelerated(h, momentum_buffer, g, denominator);
        p = fma(h.step_size, momentum_buffer, p);
    }

private:
    template <class T>
    static PANOPTIM_INLINE T variance(T square_avg, T grad_avg) {
        return fma(-grad_avg, grad_avg, square_avg);
    }

    template <class T>
    static PANOPTIM_INLINE T accelerated(const RmspropScalars<T>& h, T momentum_buffer, T g, T denominator) {
        return momentum_buffer * h.momentum + g / denominator;
    }
};

}  // namespace panoptim
