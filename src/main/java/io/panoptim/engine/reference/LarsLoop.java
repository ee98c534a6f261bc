package io.panoptim.engine.reference;

import static io.panoptim.engine.LarsRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/lars.h}. */
final class LarsLoop implements SummingLoop {
    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        terms[VALUE_SQ] = e.value(i) * e.value(i);
        terms[GRADIENT_SQ] = e.gradient(i) * e.gradient(i);
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        double value = Math.sqrt(sums[0][VALUE_SQ]);
        double gradient = Math.sqrt(sums[0][GRADIENT_SQ]);
        double ratio = 1;
        if (value > 0 && gradient > 0) {
            ratio = h.get(TRUST_COEFF) * value / (gradient + value * h.get(WEIGHT_DECAY) + h.get(EPS));
        }
        reduced.set(TRUST_RATIO, h.has(TRUST_CLIP) ? Math.min(ratio / h.get(LR), 1) : ratio);
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
            if (h.has(ADAPT)) {
                g = a.multiply(a.fma(h.get(WEIGHT_DECAY), p, g), h.get(TRUST_RATIO));
            }
            if (e.hasState(0)) {
                double buffer = h.has(FIRST) ? g : a.average(e.state(0, i), h.get(MOMENTUM), g, h.get(UNDAMPENED));
                e.state(0, i, buffer);
                g = h.has(NESTEROV) ? a.fma(h.get(MOMENTUM), buffer, g) : buffer;
            }
            e.value(i, a.fma(h.get(STEP_SIZE), g, p));
        }
    }
}
