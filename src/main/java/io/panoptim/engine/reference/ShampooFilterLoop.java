package io.panoptim.engine.reference;

import static io.panoptim.engine.ShampooFilterRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/shampoo_filter.h}. */
final class ShampooFilterLoop implements UpdateLoop {
    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            boolean filters = h.has(FILTERS) || e.hasState(1);
            int adagrad = filters ? 1 : 0;
            double g = e.gradient(i);
            double direction = g;
            if (filters) {
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
