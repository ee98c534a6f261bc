package io.panoptim.engine.reference;

import static io.panoptim.engine.UnitClipRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/unit_clip.h}. */
final class UnitClipLoop implements SummingLoop {
    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        terms[VALUE_SQ] = e.value(i) * e.value(i);
        terms[GRADIENT_SQ] = e.gradient(i) * e.gradient(i);
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        for (int row = 0; row < sums.length; row++) {
            double norm = Math.sqrt(sums[row][VALUE_SQ]);
            double most = h.get(CLIPPING);
            if (!h.has(FIXED)) {
                most *= Math.max(Math.sqrt(sums[row][GRADIENT_SQ]), h.get(EPS));
            }
            reduced.set(row, COEFFICIENT, norm < most ? 1 : most / Math.max(norm, 1e-6));
        }
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            e.value(i, a.multiply(e.value(i), h.get(COEFFICIENT)));
        }
    }
}
