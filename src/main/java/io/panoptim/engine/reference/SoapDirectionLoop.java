package io.panoptim.engine.reference;

import static io.panoptim.engine.SoapDirectionRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/soap_direction.h}. */
final class SoapDirectionLoop implements UpdateLoop {
    private static final int EXP_AVG_SQ = 0;
    private static final int UPDATE = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = e.gradient(i);
            double average = a.average(e.value(i), h.get(EXP_AVG_DECAY), g, h.get(EXP_AVG_WEIGHT));
            double square = a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), a.multiply(g, g), h.get(EXP_AVG_SQ_WEIGHT));
            e.value(i, average);
            e.state(EXP_AVG_SQ, i, square);
            e.state(UPDATE, i, a.divide(average, a.add(a.sqrt(square), h.get(EPS))));
        }
    }
}
