package io.panoptim.engine.reference;

import static io.panoptim.engine.AuxAdamRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/aux_adam.h}. */
final class AuxAdamLoop implements UpdateLoop {
    private static final int EXP_AVG_STATE = 0;
    private static final int EXP_AVG_SQ_STATE = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = e.gradient(i);
            double average = a.lerp(e.state(EXP_AVG_STATE, i), g, h.get(EXP_AVG_WEIGHT));
            double square = a.lerp(e.state(EXP_AVG_SQ_STATE, i), a.multiply(g, g), h.get(EXP_AVG_SQ_WEIGHT));
            e.state(EXP_AVG_STATE, i, average);
            e.state(EXP_AVG_SQ_STATE, i, square);
            double denominator = a.add(a.sqrt(a.divide(square, h.get(SQUARE_CORRECTION))), h.get(EPS));
            double update = a.divide(a.divide(average, h.get(CORRECTION)), denominator);
            e.value(i, a.fma(h.get(STEP_SIZE), update, a.multiply(e.value(i), h.get(DECAY))));
        }
    }
}
