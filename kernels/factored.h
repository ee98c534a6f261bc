// Adafactor (Shazeer and Stern), as torch.optim.Adafactor and as transformers': both are said by the scalars of a panoptim_factored. The
// sums are in double precision and in a fixed order, whoever computes which block, so that every engine has the same bits; the Java
// twin is io.panoptim.engine.reference.FactoredLoop.
#pragma once
#include "arithmetic.h"
#include "table.h"

namespace panoptim {

struct Factored {
    // An average over a row or a column, whose squares have this mean.
    template <class T>
    static PANOPTIM_INLINE T averaged(const panoptim_factored& h, T average, double mean) {
        return lerp(average, T(mean + h.square_eps), T(h.average_weight));
    }

    // The same for each element, where it is not factored.
    template <class T>
    static PANOPTIM_INLINE T averaged_element(T average, T g, T square_eps, T weight) {
        return lerp(average, g * g + square_eps, weight);
    }

    // What gradients are multiplied by is the product of a factor of their row and one of their column: 1 over the root of
    // row * column / mean of the rows.
    template <class T>
    static PANOPTIM_INLINE T row_factor(const panoptim_factored& h, T average, double mean) {
        return T(1 / sqrt(double(average) / maximum(mean, h.mean_floor)));
    }

    template <class T>
    static PANOPTIM_INLINE T column_factor(T average) {
        return T(1 / sqrt(double(average)));
    }

    // A zero gradient has no update, also where its row and column have never had another.
    template <class T>
    static PANOPTIM_INLINE T update(T g, T row, T column, T limit) {
        T factor = row * column;
        T limited = factor > limit ? limit : factor;
        return g == 0 ? g : g * limited;
    }

    // What follows from the values before the step: their root mean square, and the step sizes.
    static PANOPTIM_INLINE void scale(panoptim_factored& h, double value_sq, double elements) {
        h.rms = sqrt(value_sq / elements);
        h.step_size = h.flags & PANOPTIM_FACTORED_SCALED ? maximum(h.rms, h.scale_eps) * h.lr : h.lr;
        h.keep = 1 - h.decay - h.scaled_decay * (h.step_size < 0 ? -h.step_size : h.step_size);
    }

    static PANOPTIM_INLINE void clip(panoptim_factored& h, double update_sq, double elements) {
        h.step_size = -h.step_size / maximum(sqrt(update_sq / elements) / h.clip_threshold, 1.0);
    }

    template <class T>
    static PANOPTIM_INLINE T step(T p, T update, T step_size, T keep) {
        return fma(step_size, update, p * keep);
    }

    // The average of the steps against which values move.
    template <class T>
    static PANOPTIM_INLINE T averaged_step(T average, T update, T step_size, T momentum, T weight) {
        return panoptim::average(average, momentum, step_size * update, weight);
    }
};

}  // namespace panoptim
