package io.panoptim.engine.reference;

import static io.panoptim.engine.MarsRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/mars.h}. */
final class MarsLoop implements SummingLoop {
    private static final int EXP_AVG = 0;
    private static final int LAST_GRAD = 1;
    private static final int EXP_AVG_SQ = 2;

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double c = corrected(a, h, gradient(h, e, i), e.state(LAST_GRAD, i));
        terms[CORRECTED_SQ] = c * c;
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        double norm = Math.sqrt(sums[0][CORRECTED_SQ]);
        reduced.set(NORM, norm > 1 ? norm : 1);
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = gradient(h, e, i);
            double c = h.has(CORRECTS) ? a.divide(corrected(a, h, g, e.state(LAST_GRAD, i)), h.get(NORM)) : g;
            double average = a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), c, h.get(EXP_AVG_WEIGHT));
            e.state(EXP_AVG, i, average);
            e.state(LAST_GRAD, i, g);
            double direction = h.has(LION) || !e.hasState(EXP_AVG_SQ) ? Arithmetic.sign(average) : adam(a, h, e, i, c, average);
            double p = e.value(i);
            e.value(i, a.fma(h.get(STEP_SIZE), a.add(a.multiply(p, h.get(WEIGHT_DECAY)), direction), p));
        }
    }

    private static double adam(Arithmetic a, Scalars h, Elements e, long i, double c, double average) {
        double square = a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), c, c, h.get(EXP_AVG_SQ_WEIGHT));
        e.state(EXP_AVG_SQ, i, square);
        double denominator = a.add(a.divide(a.sqrt(square), h.get(ROOT_CORRECTION)), h.get(EPS));
        return a.divide(a.divide(average, h.get(CORRECTION)), denominator);
    }

    private static double gradient(Scalars h, Elements e, long i) {
        return h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
    }

    private static double corrected(Arithmetic a, Scalars h, double g, double lastGrad) {
        return a.add(a.multiply(a.subtract(g, lastGrad), h.get(VARIANCE_REDUCTION)), g);
    }
}
