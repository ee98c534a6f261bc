package io.panoptim.engine.reference;

import static io.panoptim.engine.AdanRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/adan.h}. */
final class AdanLoop implements UpdateLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;
    private static final int EXP_AVG_DIFF = 2;
    private static final int NEG_PRE_GRAD = 3;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
            double difference = a.add(h.has(FIRST) ? -g : e.state(NEG_PRE_GRAD, i), g);
            double average = a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), g, h.get(EXP_AVG_WEIGHT));
            double averageDifference = a.average(e.state(EXP_AVG_DIFF, i), h.get(EXP_AVG_DIFF_DECAY), difference,
                    h.get(EXP_AVG_DIFF_WEIGHT));
            double ahead = a.add(a.multiply(difference, h.get(EXP_AVG_DIFF_DECAY)), g);
            double secondMoment = a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), ahead, ahead,
                    h.get(EXP_AVG_SQ_WEIGHT));
            e.state(EXP_AVG, i, average);
            e.state(EXP_AVG_SQ, i, secondMoment);
            e.state(EXP_AVG_DIFF, i, averageDifference);
            e.state(NEG_PRE_GRAD, i, 0 - g);
            double denominator = a.add(a.divide(a.sqrt(secondMoment), h.get(ROOT_CORRECTION)), h.get(EPS));
            double p = a.multiply(e.value(i), h.get(DECAY));
            p = a.addcdiv(p, average, denominator, h.get(STEP_SIZE));
            p = a.addcdiv(p, averageDifference, denominator, h.get(DIFF_STEP_SIZE));
            e.value(i, a.divide(p, h.get(PROXIMITY)));
        }
    }
}
