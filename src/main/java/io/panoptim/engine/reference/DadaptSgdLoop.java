package io.panoptim.engine.reference;

import static io.panoptim.engine.DadaptSgdRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/dadapt_sgd.h}. */
final class DadaptSgdLoop implements SummingLoop {
    private static final int S = 0;
    private static final int X0 = 1;
    private static final int D = 0;
    private static final int NUMERATOR_WEIGHTED = 1;
    private static final int G0_NORM = 2;

    @Override
    public void prepare(Scalars h, Reduced reduced, Tensor[] shared) {
        double norm = shared[G0_NORM].get(0);
        reduced.set(SUM_WEIGHT, norm == 0 ? 0 : shared[D].get(0) * h.get(LR) / norm);
    }

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double g = gradient(a, h, e, i);
        double sum = sum(a, h, e, i, g);
        terms[GRADIENT_SQ] = h.has(FROZEN) ? 0 : e.gradient(i) * e.gradient(i);
        terms[NUMERATOR] = h.has(FROZEN) ? 0 : g * e.state(S, i);
        terms[S_SQ] = h.has(FROZEN) ? 0 : sum * sum;
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        double norm = shared[G0_NORM].get(0);
        double d = shared[D].get(0);
        boolean first = norm == 0;
        if (first) {
            norm = Math.sqrt(sums[0][GRADIENT_SQ]);
            shared[G0_NORM].set(0, norm);
        }
        boolean moves = first ? norm != 0 : sums[0][S_SQ] != 0;
        double dlr = moves ? d * h.get(LR) / norm : 0;
        reduced.set(SUM_WEIGHT, dlr);
        reduced.set(MOVES, moves ? 1 : 0);
        if (!first && moves) {
            double numerator = shared[NUMERATOR_WEIGHTED].get(0) + dlr * sums[0][NUMERATOR];
            double estimate = 2 * numerator / Math.sqrt(sums[0][S_SQ]);
            double grown = d * h.get(GROWTH_RATE);
            double most = grown < estimate ? grown : estimate;
            shared[NUMERATOR_WEIGHTED].set(0, numerator);
            shared[D].set(0, most > d ? most : d);
        }
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        if (h.has(FROZEN)) {
            e.keep();
            return;
        }
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double sum = sum(a, h, e, i, gradient(a, h, e, i));
            e.state(S, i, sum);
            double z = a.subtract(e.state(X0, i), sum);
            e.value(i, h.get(MOVES) != 0 ? a.average(p, h.get(MOMENTUM), z, h.get(RATE)) : p);
        }
    }

    private static double gradient(Arithmetic a, Scalars h, Elements e, long i) {
        return a.regularized(e.value(i), e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
    }

    private static double sum(Arithmetic a, Scalars h, Elements e, long i, double g) {
        return a.fma(h.get(SUM_WEIGHT), g, e.state(S, i));
    }
}
