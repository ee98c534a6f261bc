package io.panoptim.engine.reference;

import static io.panoptim.engine.AdabeliefRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/adabelief.h}. */
final class AdabeliefLoop implements UpdateLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_VAR = 1;
    private static final int MAX_EXP_AVG_VAR = 2;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = a.multiply(e.value(i), h.get(DECAY));
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            double average = a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), g, h.get(EXP_AVG_WEIGHT));
            double surprise = a.subtract(g, average);
            double variance = a.add(a.average(e.state(EXP_AVG_VAR, i), h.get(EXP_AVG_VAR_DECAY), surprise, surprise,
                    h.get(EXP_AVG_VAR_WEIGHT)), h.get(EPS));
            e.state(EXP_AVG, i, average);
            e.state(EXP_AVG_VAR, i, variance);
            if (e.hasState(MAX_EXP_AVG_VAR)) {
                double largest = Arithmetic.maximum(e.state(MAX_EXP_AVG_VAR, i), variance);
                e.state(MAX_EXP_AVG_VAR, i, largest);
                variance = h.has(RECTIFY) ? variance : largest;
            }
            if (h.has(ADAPTIVE)) {
                double denominator = a.add(a.divide(a.sqrt(variance), h.get(ROOT_CORRECTION)), h.get(EPS));
                p = a.addcdiv(p, average, denominator, h.get(STEP_SIZE));
            } else if (!h.has(IDLE)) {
                p = a.fma(h.get(STEP_SIZE), average, p);
            }
            e.value(i, p);
        }
    }
}
