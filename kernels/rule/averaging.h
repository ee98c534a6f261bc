// Averages of models (torch/optim/swa_utils.py, get_ema_avg_fn and get_swa_avg_fn): the value is the average, the gradient the model.
#pragma once

namespace panoptim {

struct Averaging {
    template <class T>
    static PANOPTIM_INLINE void update(const AveragingScalars<T>& h, T& average, T model) {
        T exponential = average * h.decay + model * h.weight;
        T equal = average + (model - average) / h.count;
        average = h.equal ? equal : exponential;
    }
};

}  // namespace panoptim
