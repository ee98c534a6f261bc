package io.panoptim.engine.reference;

import static io.panoptim.engine.RangerRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/ranger.h}. */
final class RangerLoop implements SummingLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        terms[GRADIENT] = gradient(h, e, i);
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        for (int row = 0; row < sums.length; row++) {
            reduced.set(row, GRADIENT_MEAN, sums[row][GRADIENT] / columns);
        }
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = gradient(h, e, i);
            g = h.has(CENTRALIZES) ? a.subtract(g, h.get(GRADIENT_MEAN)) : g;
            double square = a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), g, g, h.get(EXP_AVG_SQ_WEIGHT));
            double average = a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), g, h.get(EXP_AVG_WEIGHT));
            e.state(EXP_AVG, i, average);
            e.state(EXP_AVG_SQ, i, square);
            double p = e.value(i);
            p = h.has(DECAYS) ? a.fma(h.get(DECAY), p, p) : p;
            e.value(i, h.has(RECTIFIED) ? a.addcdiv(p, average, a.add(a.sqrt(square), h.get(EPS)), h.get(STEP_SIZE))
                    : a.fma(h.get(STEP_SIZE), average, p));
        }
    }

    private static double gradient(Scalars h, Elements e, long i) {
        return h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
    }
}
