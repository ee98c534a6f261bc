package io.panoptim.engine.reference;

import static io.panoptim.engine.LionRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/lion.h}. */
final class LionLoop implements UpdateLoop {
    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
            double average = e.state(0, i);
            double direction = a.average(average, h.get(DIRECTION_DECAY), g, h.get(DIRECTION_WEIGHT));
            e.value(i, a.fma(h.get(STEP_SIZE), Arithmetic.sign(direction), a.multiply(e.value(i), h.get(DECAY))));
            e.state(0, i, a.lerp(average, g, h.get(EXP_AVG_WEIGHT)));
        }
    }
}
