package io.panoptim.engine.reference;

import static io.panoptim.engine.FtrlPowerRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/ftrl_power.h}. */
final class FtrlPowerLoop extends FtrlLoop {
    @Override
    double power(Arithmetic a, Scalars h, double sum) {
        return h.has(ROOT) ? a.sqrt(sum) : a.pow(sum, h.get(POWER));
    }
}
