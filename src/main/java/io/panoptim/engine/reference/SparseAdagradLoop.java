package io.panoptim.engine.reference;

import static io.panoptim.engine.SparseAdagradRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/sparse_adagrad.h}. */
final class SparseAdagradLoop implements UpdateLoop {
    private static final int SUM = 0;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = e.gradient(i);
            double sum = a.add(e.state(SUM, i), a.multiply(g, g));
            e.state(SUM, i, sum);
            double quotient = a.divide(g, a.add(a.sqrt(sum), h.get(EPS)));
            e.value(i, a.fma(h.get(STEP_SIZE), quotient, e.value(i)));
        }
    }
}
