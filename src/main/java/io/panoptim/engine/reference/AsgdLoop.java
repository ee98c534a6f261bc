package io.panoptim.engine.reference;

import static io.panoptim.engine.AsgdRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/asgd.h}. */
final class AsgdLoop implements UpdateLoop {
    private static final int AX = 0;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            p = a.fma(h.get(STEP_SIZE), g, a.multiply(p, h.get(DECAY)));
            double ax = e.state(AX, i);
            e.state(AX, i, h.has(AVERAGING) ? a.add(ax, a.multiply(a.subtract(p, ax), h.get(AVERAGE_WEIGHT))) : p);
            e.value(i, p);
        }
    }
}
