package io.panoptim.engine.reference;

import static io.panoptim.engine.ProdigyRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/prodigy.h}. */
final class ProdigyLoop implements SummingLoop {
    private static final int EXP_AVG_SQ = 0;
    private static final int S = 1;
    private static final int P0 = 2;
    private static final int EXP_AVG = 3;
    private static final int D = 0;
    private static final int D_MAX = 1;
    private static final int D_NUMERATOR = 2;

    @Override
    public void prepare(Scalars h, Reduced reduced, Tensor[] shared) {
        double d = shared[D].get(0);
        reduced.set(AVERAGE_WEIGHT, d * h.get(EXP_AVG_WEIGHT));
        reduced.set(SQUARE_WEIGHT, d * d * h.get(EXP_AVG_SQ_WEIGHT));
        reduced.set(S_WEIGHT, d / h.get(D0) * (h.has(SAFEGUARD_WARMUP) ? d : dlr(h, d)));
    }

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double g = gradient(a, h, e, i);
        terms[NUMERATOR] = h.has(FROZEN) ? 0 : g * a.subtract(e.state(P0, i), e.value(i));
        terms[S_NORM] = h.has(FROZEN) ? 0 : Math.abs(sum(a, h, e, i, g));
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        double d = shared[D].get(0);
        double dlr = dlr(h, d);
        boolean moves = sums[0][S_NORM] != 0;
        if (moves) {
            double numerator = shared[D_NUMERATOR].get(0) * h.get(S_DECAY) + d / h.get(D0) * dlr * sums[0][NUMERATOR];
            double estimate = h.get(D_COEF) * numerator / sums[0][S_NORM];
            if (d == h.get(D0) && estimate > d) {
                d = estimate;
            }
            double most = shared[D_MAX].get(0);
            most = estimate > most ? estimate : most;
            double grown = d * h.get(GROWTH_RATE);
            d = grown < most ? grown : most;
            shared[D].set(0, d);
            shared[D_MAX].set(0, most);
            shared[D_NUMERATOR].set(0, numerator);
        }
        reduced.set(STEP_SIZE, moves ? -dlr : 0);
        reduced.set(GRADIENT_STEP_SIZE, moves ? -dlr * d : 0);
        reduced.set(SCALED_EPS, d * h.get(EPS));
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        if (h.has(FROZEN)) {
            e.keep();
            return;
        }
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = gradient(a, h, e, i);
            double square = a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), g, g, h.get(SQUARE_WEIGHT));
            e.state(EXP_AVG_SQ, i, square);
            e.state(S, i, sum(a, h, e, i, g));
            double direction = g;
            double stepSize = h.get(GRADIENT_STEP_SIZE);
            if (e.hasState(EXP_AVG)) {
                direction = a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), g, h.get(AVERAGE_WEIGHT));
                stepSize = h.get(STEP_SIZE);
                e.state(EXP_AVG, i, direction);
            }
            if (h.has(DECOUPLED)) {
                p = a.fma(a.multiply(h.get(WEIGHT_DECAY), h.get(STEP_SIZE)), p, p);
            }
            e.value(i, a.addcdiv(p, direction, a.add(a.sqrt(square), h.get(SCALED_EPS)), stepSize));
        }
    }

    private static double dlr(Scalars h, double d) {
        return d * h.get(LR) * h.get(CORRECTION);
    }

    private static double gradient(Arithmetic a, Scalars h, Elements e, long i) {
        return a.regularized(e.value(i), e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
    }

    private static double sum(Arithmetic a, Scalars h, Elements e, long i, double g) {
        return a.average(e.state(S, i), h.get(S_DECAY), g, h.get(S_WEIGHT));
    }
}
