package io.panoptim.engine.reference;

import static io.panoptim.engine.SgdRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/sgd.h}. */
final class SgdLoop implements UpdateLoop {
    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            if (e.hasState(0)) {
                double buffer = h.has(FIRST) ? g
                        : a.average(e.state(0, i), h.get(MOMENTUM), g, h.get(UNDAMPENED));
                e.state(0, i, buffer);
                g = h.has(NESTEROV) ? a.fma(h.get(MOMENTUM), buffer, g) : buffer;
            }
            e.value(i, a.fma(h.get(STEP_SIZE), g, p));
        }
    }
}
