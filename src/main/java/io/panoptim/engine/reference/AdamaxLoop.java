package io.panoptim.engine.reference;

import static io.panoptim.engine.AdamaxRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/adamax.h}. */
final class AdamaxLoop implements UpdateLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_INF = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            double average = a.lerp(e.state(EXP_AVG, i), g, h.get(EXP_AVG_WEIGHT));
            double norm = Arithmetic.maximum(a.multiply(e.state(EXP_INF, i), h.get(EXP_INF_DECAY)),
                    a.add(Math.abs(g), h.get(EPS)));
            e.state(EXP_AVG, i, average);
            e.state(EXP_INF, i, norm);
            e.value(i, a.addcdiv(p, average, norm, h.get(STEP_SIZE)));
        }
    }
}
