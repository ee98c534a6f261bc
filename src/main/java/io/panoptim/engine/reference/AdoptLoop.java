package io.panoptim.engine.reference;

import static io.panoptim.engine.AdoptRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/adopt.h}. */
final class AdoptLoop extends CautiousLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double g = gradient(a, h, e, i);
        terms[AGREEING] = agreeing(a, average(a, h, e, i, g), g);
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = gradient(a, h, e, i);
            double secondMoment = e.state(EXP_AVG_SQ, i);
            if (h.has(FIRST)) {
                e.value(i, p);
                e.state(EXP_AVG_SQ, i, a.fma(g, g, secondMoment));
            } else {
                double average = average(a, h, e, i, g);
                p = h.has(DECOUPLED) ? a.fma(h.get(DECAY), p, p) : p;
                e.state(EXP_AVG, i, average);
                e.value(i, a.fma(h.get(STEP_SIZE), cautious(a, average, g, h.has(CAUTIOUS), h.get(AGREEMENT)), p));
                e.state(EXP_AVG_SQ, i, a.average(secondMoment, h.get(EXP_AVG_SQ_DECAY), g, g, h.get(EXP_AVG_SQ_WEIGHT)));
            }
        }
    }

    private static double gradient(Arithmetic a, Scalars h, Elements e, long i) {
        return a.regularized(e.value(i), e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
    }

    private static double average(Arithmetic a, Scalars h, Elements e, long i, double g) {
        double root = a.sqrt(e.state(EXP_AVG_SQ, i));
        double normed = Arithmetic.clamp(a.divide(g, root < h.get(EPS) ? h.get(EPS) : root), -h.get(CLIP), h.get(CLIP));
        return a.lerp(e.state(EXP_AVG, i), normed, h.get(EXP_AVG_WEIGHT));
    }
}
