package io.panoptim.engine.reference;

import static io.panoptim.engine.LionRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/lion.h}. */
final class LionLoop extends CautiousLoop {
    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double g = gradient(h, e, i);
        terms[AGREEING] = agreeing(a, direction(a, h, g, e.state(0, i)), g);
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = gradient(h, e, i);
            double average = e.state(0, i);
            double step = cautious(a, direction(a, h, g, average), g, h.has(CAUTIOUS), h.get(AGREEMENT));
            e.value(i, a.fma(h.get(STEP_SIZE), step, a.multiply(e.value(i), h.get(DECAY))));
            e.state(0, i, a.lerp(average, g, h.get(EXP_AVG_WEIGHT)));
        }
    }

    private static double gradient(Scalars h, Elements e, long i) {
        return h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
    }

    private static double direction(Arithmetic a, Scalars h, double g, double average) {
        return Arithmetic.sign(a.average(average, h.get(DIRECTION_DECAY), g, h.get(DIRECTION_WEIGHT)));
    }
}
