// Gives Shampoo's step the norm of another method's, or takes that one instead (facebookresearch/optimizers, distributed_shampoo.py,
// _precondition_and_grafting). The value is what is preconditioned, the gradient what it was before; without a state the other method is SGD.
#pragma once

namespace panoptim {

struct ShampooGraft {
    template <class T, class... Adagrad>
    static PANOPTIM_INLINE ShampooGraftSums terms(const ShampooGraftScalars<T>& h, T preconditioned, T direction, Adagrad... adagrad) {
        const double shampoo = preconditioned, other = grafted(h, direction, adagrad...);
        return {shampoo * shampoo, other * other};
    }

    static PANOPTIM_INLINE void finish(const ShampooGraftScalars<double>&, uint64_t, uint64_t, const ShampooGraftSums* sums,
                                       ShampooGraftReduced* reduced) {
        reduced->ratio = sqrt(sums->grafted_sq) / (sqrt(sums->preconditioned_sq) + 1e-16);
    }

    template <class T, class... Adagrad>
    static PANOPTIM_INLINE void update(const ShampooGraftScalars<T>& h, T& preconditioned, T direction, Adagrad&... adagrad) {
        T scaled = preconditioned * h.ratio, other = grafted(h, direction, adagrad...);
        preconditioned = h.scales ? scaled : other;
    }

private:
    template <class T>
    static PANOPTIM_INLINE T grafted(const ShampooGraftScalars<T>&, T direction) {
        return direction;
    }

    template <class T>
    static PANOPTIM_INLINE T grafted(const ShampooGraftScalars<T>& h, T direction, T adagrad) {
        return direction / (sqrt(adagrad / h.correction) + h.eps);
    }
};

}  // namespace panoptim
