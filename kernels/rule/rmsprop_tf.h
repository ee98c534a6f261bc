// RMSprop as in TensorFlow (timm/optim/rmsprop_tf.py): eps lies inside the root. Centered, the variance can fall below -eps by
// rounding: then the parameter becomes NaN, as in the source.
#pragma once

namespace panoptim {

struct RmspropTf {
    template <class T>
    static PANOPTIM_INLINE void update(const RmspropTfScalars<T>& h, T& p, T g, T& square_avg) {
        g = begin(h, p, g, square_avg);
        p = addcdiv(p, g, sqrt(square_avg + h.eps), h.step_size);
    }

    // With one more state this is the average gradient of the centered form, or else the momentum buffer.
    template <class T>
    static PANOPTIM_INLINE void update(const RmspropTfScalars<T>& h, T& p, T g, T& square_avg, T& other) {
        g = begin(h, p, g, square_avg);
        T grad_avg = toward(h, other, g);
        T root = sqrt((h.centered ? variance(square_avg, grad_avg) : square_avg) + h.eps);
        T momentum_buffer = accelerated(h, other, g, root);
        other = h.centered ? grad_avg : momentum_buffer;
        T without = addcdiv(p, g, root, h.step_size);
        T with = fma(h.step_size, momentum_buffer, p);
        p = h.centered ? without : with;
    }

    template <class T>
    static PANOPTIM_INLINE void update(const RmspropTfScalars<T>& h, T& p, T g, T& square_avg, T& momentum_buffer, T& grad_avg) {
        g = begin(h, p, g, square_avg);
        grad_avg = toward(h, grad_avg, g);
        momentum_buffer = accelerated(h, momentum_buffer, g, sqrt(variance(square_avg, grad_avg) + h.eps));
        p = fma(h.step_size, momentum_buffer, p);
    }

private:
    template <class T>
    static PANOPTIM_INLINE T begin(const RmspropTfScalars<T>& h, T& p, T g, T& square_avg) {
        p = p * h.decay;
        g = regularized(h, p, g);
        square_avg = toward(h, square_avg, g * g);
        return g;
    }

    // TensorFlow's order of an average's operations.
    template <class T>
    static PANOPTIM_INLINE T toward(const RmspropTfScalars<T>& h, T average, T value) {
        return fma(h.alpha_weight, value - average, average);
    }

    template <class T>
    static PANOPTIM_INLINE T variance(T square_avg, T grad_avg) {
        return fma(-grad_avg, grad_avg, square_avg);
    }

    template <class T>
    static PANOPTIM_INLINE T accelerated(const RmspropTfScalars<T>& h, T momentum_buffer, T g, T root) {
        return addcdiv(momentum_buffer * h.momentum, g, root, h.accumulation);
    }
};

}  // namespace panoptim
