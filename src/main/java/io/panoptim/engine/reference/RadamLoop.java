package io.panoptim.engine.reference;

import static io.panoptim.engine.RadamRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/radam.h}. */
final class RadamLoop implements UpdateLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = a.multiply(e.value(i), h.get(DECAY));
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            double average = a.lerp(e.state(EXP_AVG, i), g, h.get(EXP_AVG_WEIGHT));
            double secondMoment = a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), g, g,
                    h.get(EXP_AVG_SQ_WEIGHT));
            e.state(EXP_AVG, i, average);
            e.state(EXP_AVG_SQ, i, secondMoment);
            double step = a.multiply(a.divide(average, h.get(CORRECTION)), h.get(LR));
            if (h.has(RECTIFIED)) {
                double adaptive = a.reciprocalTimes(a.add(a.sqrt(secondMoment), h.get(EPS)), h.get(ROOT_CORRECTION));
                step = a.multiply(a.multiply(step, adaptive), h.get(RECTIFICATION));
            }
            e.value(i, a.subtract(p, step));
        }
    }
}
