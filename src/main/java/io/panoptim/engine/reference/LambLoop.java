package io.panoptim.engine.reference;

import static io.panoptim.engine.LambRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/lamb.h}. */
final class LambLoop implements SummingLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double p = decayed(a, h, e.value(i));
        double step = step(a, h, p, average(a, h, e, i), averageSquare(a, h, e, i));
        terms[VALUE_SQ] = p * p;
        terms[STEP_SQ] = step * step;
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        double value = Math.sqrt(sums[0][VALUE_SQ]);
        double step = Math.sqrt(sums[0][STEP_SQ]);
        double ratio = value > 0 && step > 0 ? value / step : 1;
        reduced.set(TRUST_RATIO, h.has(TRUST_CLIP) ? Math.min(ratio, 1) : ratio);
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double average = average(a, h, e, i);
            double averageSquare = averageSquare(a, h, e, i);
            e.state(EXP_AVG, i, average);
            e.state(EXP_AVG_SQ, i, averageSquare);
            double p = decayed(a, h, e.value(i));
            double step = step(a, h, p, average, averageSquare);
            e.value(i, a.fma(h.get(STEP_SIZE), h.has(ADAPT) ? a.multiply(step, h.get(TRUST_RATIO)) : step, p));
        }
    }

    private static double decayed(Arithmetic a, Scalars h, double p) {
        return h.has(DECOUPLED) ? a.fma(h.get(DECAY), p, p) : p;
    }

    private static double gradient(Arithmetic a, Scalars h, Elements e, long i) {
        return a.divide(h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i), h.get(CLIP));
    }

    private static double average(Arithmetic a, Scalars h, Elements e, long i) {
        return a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), gradient(a, h, e, i), h.get(EXP_AVG_WEIGHT));
    }

    private static double averageSquare(Arithmetic a, Scalars h, Elements e, long i) {
        double g = gradient(a, h, e, i);
        return a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), g, g, h.get(EXP_AVG_SQ_WEIGHT));
    }

    private static double step(Arithmetic a, Scalars h, double p, double average, double averageSquare) {
        double denominator = a.add(a.divide(a.sqrt(averageSquare), h.get(ROOT_CORRECTION)), h.get(EPS));
        double step = a.divide(a.divide(average, h.get(CORRECTION)), denominator);
        return h.has(COUPLED) ? a.fma(h.get(WEIGHT_DECAY), p, step) : step;
    }
}
