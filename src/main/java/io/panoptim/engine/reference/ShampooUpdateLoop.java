package io.panoptim.engine.reference;

import static io.panoptim.engine.ShampooUpdateRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/shampoo_update.h}. */
final class ShampooUpdateLoop implements UpdateLoop {
    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double direction = h.has(DECAYS) ? a.fma(h.get(WEIGHT_DECAY), p, e.gradient(i)) : e.gradient(i);
            if (e.hasState(0)) {
                double buffer = a.average(e.state(0, i), h.get(MOMENTUM), direction, h.get(UNDAMPENED));
                e.state(0, i, buffer);
                direction = h.has(NESTEROV) ? a.fma(h.get(MOMENTUM), buffer, a.multiply(direction, h.get(UNDAMPENED))) : buffer;
            }
            e.value(i, a.add(p, a.multiply(direction, h.get(STEP_SIZE))));
        }
    }
}
