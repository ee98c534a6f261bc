package io.panoptim.engine.reference;

import static io.panoptim.engine.ShampooGraftRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/shampoo_graft.h}. */
final class ShampooGraftLoop implements SummingLoop {
    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double other = grafted(a, h, e, i);
        terms[PRECONDITIONED_SQ] = e.value(i) * e.value(i);
        terms[GRAFTED_SQ] = other * other;
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        reduced.set(RATIO, Math.sqrt(sums[0][GRAFTED_SQ]) / (Math.sqrt(sums[0][PRECONDITIONED_SQ]) + 1e-16));
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            e.value(i, h.has(SCALES) ? a.multiply(e.value(i), h.get(RATIO)) : grafted(a, h, e, i));
        }
    }

    private static double grafted(Arithmetic a, Scalars h, Elements e, long i) {
        if (!e.hasState(0)) {
            return e.gradient(i);
        }
        double root = a.sqrt(a.divide(e.state(0, i), h.get(CORRECTION)));
        return a.divide(e.gradient(i), a.add(root, h.get(EPS)));
    }
}
