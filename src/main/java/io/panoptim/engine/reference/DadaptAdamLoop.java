package io.panoptim.engine.reference;

import static io.panoptim.engine.DadaptAdamRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/dadapt_adam.h}. */
final class DadaptAdamLoop implements SummingLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;
    private static final int S = 2;
    private static final int D = 0;
    private static final int NUMERATOR_WEIGHTED = 1;

    @Override
    public void prepare(Scalars h, Reduced reduced, Tensor[] shared) {
        double dlr = dlr(h, shared[D].get(0));
        reduced.set(AVERAGE_WEIGHT, dlr * h.get(EXP_AVG_WEIGHT));
        reduced.set(SUM_WEIGHT, dlr * h.get(S_WEIGHT));
    }

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double g = gradient(a, h, e, i);
        double direction = a.divide(e.state(S, i), a.add(a.sqrt(e.state(EXP_AVG_SQ, i)), h.get(EPS)));
        terms[NUMERATOR] = h.has(FROZEN) ? 0 : h.get(LAYER_SCALE) * (g * direction);
        terms[S_NORM] = h.has(FROZEN) ? 0 : h.get(LAYER_SCALE) * Math.abs(sum(a, h, e, i, g));
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        double d = shared[D].get(0);
        double dlr = dlr(h, d);
        boolean moves = sums[0][S_NORM] != 0;
        if (moves) {
            double numerator = h.get(S_DECAY) * shared[NUMERATOR_WEIGHTED].get(0) + h.get(S_WEIGHT) * (dlr * sums[0][NUMERATOR]);
            double estimate = numerator / (h.get(S_WEIGHT) * sums[0][S_NORM]);
            double grown = d * h.get(GROWTH_RATE);
            double most = grown < estimate ? grown : estimate;
            shared[D].set(0, most > d ? most : d);
            shared[NUMERATOR_WEIGHTED].set(0, numerator);
        }
        reduced.set(DECAY_SIZE, moves ? -dlr : 0);
        reduced.set(STEP_SIZE, moves ? -1 : 0);
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
            double average = a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), g, a.multiply(h.get(LAYER_SCALE), h.get(AVERAGE_WEIGHT)));
            double square = a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), g, g, h.get(EXP_AVG_SQ_WEIGHT));
            e.state(EXP_AVG, i, average);
            e.state(EXP_AVG_SQ, i, square);
            e.state(S, i, sum(a, h, e, i, g));
            if (h.has(DECOUPLED)) {
                p = a.fma(a.multiply(h.get(WEIGHT_DECAY), h.get(DECAY_SIZE)), p, p);
            }
            e.value(i, a.addcdiv(p, average, a.add(a.sqrt(square), h.get(EPS)), h.get(STEP_SIZE)));
        }
    }

    private static double dlr(Scalars h, double d) {
        return d * h.get(LR) * h.get(CORRECTION);
    }

    private static double gradient(Arithmetic a, Scalars h, Elements e, long i) {
        return a.regularized(e.value(i), e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
    }

    private static double sum(Arithmetic a, Scalars h, Elements e, long i, double g) {
        return a.average(e.state(S, i), h.get(S_DECAY), g, h.get(SUM_WEIGHT));
    }
}
