// What Shampoo preconditions (facebookresearch/optimizers, distributed_shampoo.py, _compute_filtered_grad_list), and the squares of the
// method whose size of steps it is given (adagrad_preconditioner_list.py). The value is that direction.
#pragma once

namespace panoptim {

struct ShampooFilter {
    // One state is the average of the gradients or, where they are not filtered, the squares.
    template <class T>
    static PANOPTIM_INLINE void update(const ShampooFilterScalars<T>& h, T& direction, T g, T& other) {
        T filtered = filter(h, other, g), averaged = lerp(other, g, h.average_weight), squared = square(h, other, g);
        direction = h.filters ? filtered : g;
        other = h.filters ? averaged : squared;
    }

    template <class T>
    static PANOPTIM_INLINE void update(const ShampooFilterScalars<T>& h, T& direction, T g, T& filtered_grad, T& adagrad) {
        direction = filter(h, filtered_grad, g);
        filtered_grad = lerp(filtered_grad, g, h.average_weight);
        adagrad = square(h, adagrad, g);
    }

private:
    template <class T>
    static PANOPTIM_INLINE T filter(const ShampooFilterScalars<T>& h, T filtered_grad, T g) {
        return lerp(filtered_grad, g, h.filter_weight) / h.correction;
    }

    template <class T>
    static PANOPTIM_INLINE T square(const ShampooFilterScalars<T>& h, T adagrad, T g) {
        return average(adagrad, h.square_decay, g, g, h.square_weight);
    }
};

}  // namespace panoptim
