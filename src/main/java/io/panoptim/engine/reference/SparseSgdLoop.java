package io.panoptim.engine.reference;

import static io.panoptim.engine.SparseSgdRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/sparse_sgd.h}. */
final class SparseSgdLoop implements UpdateLoop {
    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = e.gradient(i);
            if (e.hasState(0)) {
                double decayed = a.add(a.multiply(e.state(0, i), h.get(MOMENTUM)), 0);
                double buffer = h.has(FIRST) ? g : a.fma(h.get(UNDAMPENED), g, decayed);
                e.state(0, i, buffer);
                g = h.has(NESTEROV) ? a.fma(h.get(MOMENTUM), buffer, a.add(g, 0)) : buffer;
            }
            e.value(i, a.fma(h.get(STEP_SIZE), g, e.value(i)));
        }
    }
}
