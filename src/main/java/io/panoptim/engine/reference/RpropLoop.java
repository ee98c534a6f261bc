package io.panoptim.engine.reference;

import static io.panoptim.engine.RpropRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/rprop.h}. */
final class RpropLoop implements UpdateLoop {
    private static final int PREV = 0;
    private static final int STEP_SIZE = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
            double agreement = a.multiply(g, e.state(PREV, i));
            double factor = agreement > 0 ? h.get(ETA_PLUS) : agreement < 0 ? h.get(ETA_MINUS) : 1;
            double size = Arithmetic.clamp(a.multiply(e.state(STEP_SIZE, i), factor), h.get(STEP_SIZE_MIN), h.get(STEP_SIZE_MAX));
            if (factor == h.get(ETA_MINUS)) {
                g = 0;
            }
            e.state(PREV, i, g);
            e.state(STEP_SIZE, i, size);
            e.value(i, a.fma(-Arithmetic.sign(g), size, e.value(i)));
        }
    }
}
