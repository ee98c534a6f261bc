package io.panoptim.engine.reference;

import static io.panoptim.engine.SophiaRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/sophia.h}. */
final class SophiaLoop implements UpdateLoop {
    private static final int EXP_AVG = 0;
    private static final int HESSIAN = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        double eps = a.round(1e-15);
        for (long i = e.begin(); i < e.end(); i++) {
            double g = h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
            double p = a.multiply(e.value(i), h.get(DECAY));
            double average = a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), g, h.get(EXP_AVG_WEIGHT));
            e.state(EXP_AVG, i, average);
            double ratio = a.divide(Math.abs(average), a.add(a.multiply(e.state(HESSIAN, i), h.get(SCALE)), eps));
            e.value(i, a.fma(h.get(STEP_SIZE) * Arithmetic.sign(average), ratio > 1 ? 1 : ratio, p));
        }
    }
}
