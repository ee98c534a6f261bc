package io.panoptim.engine.reference;

import static io.panoptim.engine.SoapUpdateRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/soap_update.h}. */
final class SoapUpdateLoop implements SummingLoop {
    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        terms[UPDATE_SQ] = e.gradient(i) * e.gradient(i);
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        reduced.set(SIZE, 1e-30 + Math.sqrt(sums[0][UPDATE_SQ] / columns));
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double direction = h.has(NORMALIZES) ? a.divide(e.gradient(i), h.get(SIZE)) : e.gradient(i);
            double moved = a.fma(h.get(STEP_SIZE), direction, e.value(i));
            e.value(i, a.fma(h.get(DECAY), moved, moved));
        }
    }
}
