package io.panoptim.engine.reference;

import static io.panoptim.engine.LapropRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/laprop.h}. */
final class LapropLoop implements UpdateLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
            double secondMoment = a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), g, g,
                    h.get(EXP_AVG_SQ_WEIGHT));
            double denominator = a.add(a.sqrt(a.divide(secondMoment, h.get(CORRECTION))), h.get(EPS));
            double average = a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), a.divide(g, denominator),
                    h.get(EXP_AVG_WEIGHT));
            e.state(EXP_AVG, i, average);
            e.state(EXP_AVG_SQ, i, secondMoment);
            double p = a.fma(h.get(STEP_SIZE), average, e.value(i));
            e.value(i, h.has(DECOUPLED) ? a.fma(h.get(DECAY), p, p) : p);
        }
    }
}
