package io.panoptim.engine.reference;

import static io.panoptim.engine.NovogradRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/novograd.h}. */
final class NovogradLoop implements SummingLoop {
    private static final int EXP_AVG_SQ = 0;
    private static final int MAX_EXP_AVG_SQ = 1;

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        terms[GRADIENT_SQ] = e.gradient(i) * e.gradient(i);
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        double square = sums[0][GRADIENT_SQ];
        double before = shared[EXP_AVG_SQ].get(0);
        double moment = before == 0 ? square : Math.fma(h.get(EXP_AVG_SQ_WEIGHT), square, before * h.get(EXP_AVG_SQ_DECAY));
        shared[EXP_AVG_SQ].set(0, moment);
        if (h.has(AMSGRAD)) {
            moment = Arithmetic.maximum(shared[MAX_EXP_AVG_SQ].get(0), moment);
            shared[MAX_EXP_AVG_SQ].set(0, moment);
        }
        reduced.set(DENOMINATOR, Math.sqrt(moment) + h.get(EPS));
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = a.divide(h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i), h.get(DENOMINATOR));
            g = a.multiply(h.has(L2) ? a.fma(h.get(WEIGHT_DECAY), p, g) : g, h.get(EXP_AVG_WEIGHT));
            double average = a.add(a.multiply(e.state(0, i), h.get(EXP_AVG_DECAY)), g);
            e.state(0, i, average);
            e.value(i, a.fma(h.get(STEP_SIZE), average, p));
        }
    }
}
