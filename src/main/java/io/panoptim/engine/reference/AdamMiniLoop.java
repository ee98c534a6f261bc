package io.panoptim.engine.reference;

import static io.panoptim.engine.AdamMiniRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/adam_mini.h}. */
final class AdamMiniLoop implements SummingLoop {
    private static final int M = 0;
    private static final int VMEAN = 0;

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double g = e.gradient(i);
        terms[GRADIENT_SQ] = g * g;
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        for (int row = 0; row < sums.length; row++) {
            double mean = shared[VMEAN].get(row) * h.get(VMEAN_DECAY) + h.get(VMEAN_WEIGHT) * (sums[row][GRADIENT_SQ] / columns);
            shared[VMEAN].set(row, mean);
            reduced.set(row, BLOCK_STEP_SIZE, h.get(STEP_SIZE) / (Math.sqrt(mean) / h.get(ROOT_CORRECTION) + h.get(EPS)));
        }
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double m = a.lerp(e.state(M, i), h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i), h.get(M_WEIGHT));
            e.state(M, i, m);
            e.value(i, a.fma(h.get(BLOCK_STEP_SIZE), m, a.multiply(e.value(i), h.get(DECAY))));
        }
    }
}
