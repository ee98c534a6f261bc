package io.panoptim.engine.reference;

import static io.panoptim.engine.AdagradRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/adagrad.h}. */
final class AdagradLoop implements UpdateLoop {
    private static final int SUM = 0;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            double sum = a.fma(g, g, e.state(SUM, i));
            e.state(SUM, i, sum);
            e.value(i, a.addcdiv(p, g, a.add(a.sqrt(sum), h.get(EPS)), h.get(STEP_SIZE)));
        }
    }
}
