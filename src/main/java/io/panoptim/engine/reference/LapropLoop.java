package io.panoptim.engine.reference;

import static io.panoptim.engine.LapropRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/laprop.h}. */
final class LapropLoop extends CautiousLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double g = gradient(h, e, i);
        terms[AGREEING] = agreeing(a, average(a, h, e, i, g, secondMoment(a, h, e, i, g)), g);
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = gradient(h, e, i);
            double secondMoment = secondMoment(a, h, e, i, g);
            double average = average(a, h, e, i, g, secondMoment);
            e.state(EXP_AVG, i, average);
            e.state(EXP_AVG_SQ, i, secondMoment);
            double p = a.fma(h.get(STEP_SIZE), cautious(a, average, g, h.has(CAUTIOUS), h.get(AGREEMENT)), e.value(i));
            e.value(i, h.has(DECOUPLED) ? a.fma(h.get(DECAY), p, p) : p);
        }
    }

    private static double gradient(Scalars h, Elements e, long i) {
        return h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
    }

    private static double secondMoment(Arithmetic a, Scalars h, Elements e, long i, double g) {
        return a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), g, g, h.get(EXP_AVG_SQ_WEIGHT));
    }

    private static double average(Arithmetic a, Scalars h, Elements e, long i, double g, double secondMoment) {
        double denominator = a.add(a.sqrt(a.divide(secondMoment, h.get(CORRECTION))), h.get(EPS));
        return a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), a.divide(g, denominator), h.get(EXP_AVG_WEIGHT));
    }
}
