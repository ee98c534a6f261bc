// Follow the regularized leader (ftrl.h) with any power for a learning rate, of which the square root stays exact.
#pragma once

namespace panoptim {

struct FtrlPower {
    template <class T>
    static PANOPTIM_INLINE void update(const FtrlPowerScalars<T>& h, T& p, T g, T& accumulator, T& linear) {
        follow_the_leader<FtrlPower>(h, p, g, accumulator, linear);
    }

    template <class T>
    static PANOPTIM_INLINE T power(const FtrlPowerScalars<T>& h, T a) {
        T general = pow(a, h.power);
        return h.root ? sqrt(a) : general;
    }
};

}  // namespace panoptim
