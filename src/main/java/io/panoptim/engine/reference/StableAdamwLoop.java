package io.panoptim.engine.reference;

import static io.panoptim.engine.StableAdamwRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/stable_adamw.h}. */
final class StableAdamwLoop implements SummingLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double square = a.multiply(e.gradient(i), e.gradient(i));
        terms[NORMED_SQ] = a.divide(square, Arithmetic.maximum(secondMoment(a, h, e, i), h.get(EPS_SQ)));
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        double rms = Math.sqrt(sums[0][NORMED_SQ] / columns);
        double lr = rms > 1 ? h.get(LR) / rms : h.get(LR);
        reduced.set(DECAY, 1 - (h.has(DECOUPLE_LR) ? lr / h.get(MAX_LR) : lr) * h.get(WEIGHT_DECAY));
        reduced.set(STEP_SIZE, -lr);
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
            double average = a.lerp(e.state(EXP_AVG, i), g, h.get(EXP_AVG_WEIGHT));
            double secondMoment = secondMoment(a, h, e, i);
            e.state(EXP_AVG, i, average);
            e.state(EXP_AVG_SQ, i, secondMoment);
            double denominator = a.add(a.sqrt(secondMoment), h.get(EPS));
            e.value(i, a.addcdiv(a.multiply(e.value(i), h.get(DECAY)), average, denominator, h.get(STEP_SIZE)));
        }
    }

    private static double secondMoment(Arithmetic a, Scalars h, Elements e, long i) {
        double g = e.gradient(i);
        return a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), g, g, h.get(EXP_AVG_SQ_WEIGHT));
    }
}
