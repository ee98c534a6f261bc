package io.panoptim.engine.reference;

import static io.panoptim.engine.ScheduleFreeRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/schedule_free.h}. */
final class ScheduleFreeLoop implements UpdateLoop {
    private static final int Z = 0;
    private static final int EXP_AVG_SQ = 1;
    private static final int EXP_AVG = 2;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double y = e.value(i);
            double z = h.has(FIRST) ? y : e.state(Z, i);
            double g = h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
            double direction = e.hasState(EXP_AVG_SQ) ? normed(a, h, e, i, g) : g;
            direction = h.has(L2) ? a.fma(h.get(WEIGHT_DECAY), y, direction) : direction;
            e.value(i, a.fma(h.get(STEP_SIZE), direction, a.lerp(y, z, h.get(Z_WEIGHT))));
            e.state(Z, i, a.fma(h.get(Z_STEP_SIZE), direction, z));
        }
    }

    private static double normed(Arithmetic a, Scalars h, Elements e, long i, double g) {
        double secondMoment = a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), g, g, h.get(EXP_AVG_SQ_WEIGHT));
        e.state(EXP_AVG_SQ, i, secondMoment);
        double denominator = a.add(a.sqrt(a.divide(secondMoment, h.get(EXP_AVG_SQ_CORRECTION))), h.get(EPS));
        if (e.hasState(EXP_AVG)) {
            double average = a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), g, h.get(EXP_AVG_WEIGHT));
            e.state(EXP_AVG, i, average);
            return a.divide(a.divide(average, h.get(EXP_AVG_CORRECTION)), denominator);
        }
        return h.has(ADAPTIVE) ? a.divide(g, denominator) : g;
    }
}
