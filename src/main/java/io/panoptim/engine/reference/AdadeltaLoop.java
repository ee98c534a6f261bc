package io.panoptim.engine.reference;

import static io.panoptim.engine.AdadeltaRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/adadelta.h}. */
final class AdadeltaLoop implements UpdateLoop {
    private static final int SQUARE_AVG = 0;
    private static final int ACC_DELTA = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            double square = a.average(e.state(SQUARE_AVG, i), h.get(RHO), g, g, h.get(RHO_WEIGHT));
            double accumulated = e.state(ACC_DELTA, i);
            double ratio = a.divide(a.sqrt(a.add(accumulated, h.get(EPS))), a.sqrt(a.add(square, h.get(EPS))));
            double delta = a.multiply(ratio, g);
            e.state(SQUARE_AVG, i, square);
            e.state(ACC_DELTA, i, a.average(accumulated, h.get(RHO), delta, delta, h.get(RHO_WEIGHT)));
            e.value(i, a.fma(h.get(STEP_SIZE), delta, p));
        }
    }
}
