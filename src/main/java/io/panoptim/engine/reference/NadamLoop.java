package io.panoptim.engine.reference;

import static io.panoptim.engine.NadamRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/nadam.h}. */
final class NadamLoop implements UpdateLoop {
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
            double denominator = a.add(a.sqrt(a.divide(secondMoment, h.get(CORRECTION))), h.get(EPS));
            p = a.addcdiv(p, g, denominator, h.get(GRADIENT_STEP_SIZE));
            e.value(i, a.addcdiv(p, average, denominator, h.get(AVERAGE_STEP_SIZE)));
        }
    }
}
