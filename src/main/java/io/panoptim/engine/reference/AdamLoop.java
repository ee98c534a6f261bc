package io.panoptim.engine.reference;

import static io.panoptim.engine.AdamRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/adam.h}. */
final class AdamLoop extends CautiousLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;
    private static final int MAX_EXP_AVG_SQ = 2;

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double g = h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
        terms[AGREEING] = agreeing(a, a.lerp(e.state(EXP_AVG, i), g, h.get(EXP_AVG_WEIGHT)), g);
    }

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
            if (e.hasState(MAX_EXP_AVG_SQ)) {
                secondMoment = Arithmetic.maximum(e.state(MAX_EXP_AVG_SQ, i), secondMoment);
                e.state(MAX_EXP_AVG_SQ, i, secondMoment);
            }
            double denominator = a.add(a.divide(a.sqrt(secondMoment), h.get(ROOT_CORRECTION)), h.get(EPS));
            double step = cautious(a, average, g, h.has(CAUTIOUS), h.get(AGREEMENT));
            e.value(i, a.addcdiv(p, step, denominator, h.get(STEP_SIZE)));
        }
    }
}
