package io.panoptim.engine.reference;

import static io.panoptim.engine.SparseAdamRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/sparse_adam.h}. */
final class SparseAdamLoop implements UpdateLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = e.gradient(i);
            double average = moved(a, e.state(EXP_AVG, i), g, h.get(EXP_AVG_WEIGHT));
            double secondMoment = moved(a, e.state(EXP_AVG_SQ, i), a.multiply(g, g), h.get(EXP_AVG_SQ_WEIGHT));
            e.state(EXP_AVG, i, average);
            e.state(EXP_AVG_SQ, i, secondMoment);
            double quotient = a.divide(average, a.add(a.sqrt(secondMoment), h.get(EPS)));
            e.value(i, a.add(e.value(i), a.multiply(quotient, h.get(STEP_SIZE))));
        }
    }

    private static double moved(Arithmetic a, double from, double to, double weight) {
        return a.add(from, a.multiply(a.subtract(to, from), weight));
    }
}
