package io.panoptim.engine.reference;

import static io.panoptim.engine.AdoptRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/adopt.h}. */
final class AdoptLoop implements UpdateLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            double secondMoment = e.state(EXP_AVG_SQ, i);
            if (h.has(FIRST)) {
                e.state(EXP_AVG_SQ, i, a.fma(g, g, secondMoment));
            } else {
                double root = a.sqrt(secondMoment);
                double normed = Arithmetic.clamp(a.divide(g, root < h.get(EPS) ? h.get(EPS) : root), -h.get(CLIP), h.get(CLIP));
                double average = a.lerp(e.state(EXP_AVG, i), normed, h.get(EXP_AVG_WEIGHT));
                p = h.has(DECOUPLED) ? a.fma(h.get(DECAY), p, p) : p;
                e.state(EXP_AVG, i, average);
                e.value(i, a.fma(h.get(STEP_SIZE), average, p));
                e.state(EXP_AVG_SQ, i, a.average(secondMoment, h.get(EXP_AVG_SQ_DECAY), g, g, h.get(EXP_AVG_SQ_WEIGHT)));
            }
        }
    }
}
