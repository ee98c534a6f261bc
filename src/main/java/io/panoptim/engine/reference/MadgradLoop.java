package io.panoptim.engine.reference;

import static io.panoptim.engine.MadgradRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/madgrad.h}. */
final class MadgradLoop implements UpdateLoop {
    private static final int GRAD_SUM_SQ = 0;
    private static final int S = 1;
    private static final int X0 = 2;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        boolean accelerated = e.hasState(X0);
        for (long i = e.begin(); i < e.end(); i++) {
            double before = e.value(i);
            double p = a.multiply(before, h.get(DECAY));
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            double squares = e.state(GRAD_SUM_SQ, i);
            double s = e.state(S, i);
            double x0 = !accelerated ? a.add(p, direction(a, h, s, squares)) : h.has(FIRST) ? before : e.state(X0, i);
            if (accelerated) {
                e.state(X0, i, x0);
            }
            squares = a.fma(a.multiply(h.get(ACCUMULATION), g), g, squares);
            s = a.fma(h.get(ACCUMULATION), g, s);
            e.state(GRAD_SUM_SQ, i, squares);
            e.state(S, i, s);
            double z = a.subtract(x0, direction(a, h, s, squares));
            e.value(i, accelerated ? a.average(p, h.get(MOMENTUM), z, h.get(Z_WEIGHT)) : z);
        }
    }

    private static double direction(Arithmetic a, Scalars h, double s, double squares) {
        return a.divide(s, a.add(a.cbrt(squares), h.get(EPS)));
    }
}
