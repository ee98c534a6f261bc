package io.panoptim.engine.reference;

import static io.panoptim.engine.SignumRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/signum.h}. */
final class SignumLoop implements UpdateLoop {
    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = a.multiply(e.value(i), h.get(DECAY));
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            if (e.hasState(0)) {
                g = a.average(e.state(0, i), h.get(MOMENTUM), g, h.get(MOMENTUM_WEIGHT));
                e.state(0, i, g);
            }
            e.value(i, a.fma(h.get(STEP_SIZE), Arithmetic.sign(g), p));
        }
    }
}
