package io.panoptim.engine.reference;

import static io.panoptim.engine.YogiRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/yogi.h}. */
final class YogiLoop implements UpdateLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = a.multiply(e.value(i), h.get(DECAY));
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            double square = a.multiply(g, g);
            double average = a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), g, h.get(EXP_AVG_WEIGHT));
            double secondMoment = e.state(EXP_AVG_SQ, i);
            double direction = Arithmetic.sign(a.subtract(secondMoment, square));
            secondMoment = a.fma(h.get(EXP_AVG_SQ_WEIGHT) * direction, square, secondMoment);
            e.state(EXP_AVG, i, average);
            e.state(EXP_AVG_SQ, i, secondMoment);
            double denominator = a.add(a.divide(a.sqrt(secondMoment), h.get(ROOT_CORRECTION)), h.get(EPS));
            e.value(i, a.addcdiv(p, average, denominator, h.get(STEP_SIZE)));
        }
    }
}
