package io.panoptim.engine.reference;

import static io.panoptim.engine.MuonDirectionRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/muon_direction.h}. */
final class MuonDirectionLoop implements SummingLoop {
    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double update = direction(a, h, average(a, h, e, i), e.gradient(i));
        terms[UPDATE_SQ] = update * update;
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        double norm = Math.sqrt(sums[0][UPDATE_SQ]);
        reduced.set(NORM, h.has(ADDS_EPS) ? norm + h.get(EPS) : Arithmetic.maximum(norm, h.get(EPS)));
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double average = average(a, h, e, i);
            double update = direction(a, h, average, e.gradient(i));
            e.value(i, average);
            e.state(0, i, a.divide(update, h.get(NORM)));
        }
    }

    private static double average(Arithmetic a, Scalars h, Elements e, long i) {
        return a.lerp(e.value(i), e.gradient(i), h.get(MOMENTUM_WEIGHT));
    }

    private static double direction(Arithmetic a, Scalars h, double average, double gradient) {
        return h.has(NESTEROV) ? a.lerp(gradient, average, h.get(MOMENTUM)) : average;
    }
}
