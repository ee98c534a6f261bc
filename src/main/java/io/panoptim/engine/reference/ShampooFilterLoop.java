package io.panoptim.engine.reference;

import static io.panoptim.engine.ShampooFilterRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/shampoo_filter.h}. */
final class ShampooFilterLoop implements UpdateLoop {
    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        int adagrad = h.has(FILTERS) ? 1 : 0;
        for (long i = e.begin(); i < e.end(); i++) {
            double g = e.gradient(i);
            double direction = g;
            if (h.has(FILTERS)) {
                double filtered = e.state(0, i);
                direction = a.divide(a.lerp(filtered, g, h.get(FILTER_WEIGHT)), h.get(CORRECTION));
                e.state(0, i, a.lerp(filtered, g, h.get(AVERAGE_WEIGHT)));
            }
            if (e.hasState(adagrad)) {
                e.state(adagrad, i, a.average(e.state(adagrad, i), h.get(SQUARE_DECAY), g, g, h.get(SQUARE_WEIGHT)));
            }
            e.value(i, direction);
        }
    }
}
