package io.panoptim.engine.reference;

import static io.panoptim.engine.AdemamixRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/ademamix.h}. */
final class AdemamixLoop implements UpdateLoop {
    private static final int EXP_AVG_SLOW = 0;
    private static final int EXP_AVG_SQ = 1;
    private static final int EXP_AVG_FAST = 2;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
            double fast = g;
            if (e.hasState(EXP_AVG_FAST)) {
                fast = a.average(e.state(EXP_AVG_FAST, i), h.get(EXP_AVG_FAST_DECAY), g, h.get(EXP_AVG_FAST_WEIGHT));
                e.state(EXP_AVG_FAST, i, fast);
            }
            double slow = a.average(e.state(EXP_AVG_SLOW, i), h.get(EXP_AVG_SLOW_DECAY), g, h.get(EXP_AVG_SLOW_WEIGHT));
            double secondMoment = a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), g, g,
                    h.get(EXP_AVG_SQ_WEIGHT));
            e.state(EXP_AVG_SLOW, i, slow);
            e.state(EXP_AVG_SQ, i, secondMoment);
            double denominator = a.add(a.divide(a.sqrt(secondMoment), h.get(ROOT_CORRECTION)), h.get(EPS));
            double mixed = a.add(a.divide(fast, h.get(FAST_CORRECTION)), a.multiply(slow, h.get(ALPHA)));
            double direction = a.fma(h.get(WEIGHT_DECAY), p, a.divide(mixed, denominator));
            e.value(i, a.add(p, a.multiply(direction, h.get(STEP_SIZE))));
        }
    }
}
