package io.panoptim.engine.reference;

import static io.panoptim.engine.DionFactorRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/dion_factor.h}. */
final class DionFactorLoop implements SummingLoop {
    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        terms[FACTOR_SQ] = e.gradient(i) * e.gradient(i);
        terms[PREVIOUS_SQ] = e.value(i) * e.value(i);
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        double largest = 0;
        for (double[] row : sums) {
            largest = Arithmetic.maximum(largest, row[FACTOR_SQ]);
        }
        boolean keeps = largest == 0;
        for (int row = 0; row < sums.length; row++) {
            double divisor = Math.sqrt(sums[row][keeps ? PREVIOUS_SQ : FACTOR_SQ]) + h.get(EPS);
            reduced.set(row, DIVISOR, divisor == 0 ? 1 : divisor);
            reduced.set(row, KEEPS, keeps ? 1 : 0);
        }
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        boolean keeps = h.get(KEEPS) != 0;
        for (long i = e.begin(); i < e.end(); i++) {
            double normed = a.divide(keeps ? e.value(i) : e.gradient(i), h.get(DIVISOR));
            e.state(0, i, keeps ? 0 : normed);
            e.value(i, normed);
        }
    }
}
