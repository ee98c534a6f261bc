package io.panoptim.engine.reference;

import static io.panoptim.engine.SgdRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/sgd.h}. */
final class SgdLoop extends CautiousLoop {
    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double g = gradient(a, h, e, i);
        terms[AGREEING] = agreeing(a, e.hasState(0) ? step(a, h, g, buffer(a, h, e, i, g)) : g, g);
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double g = gradient(a, h, e, i);
            double step = g;
            if (e.hasState(0)) {
                double buffer = buffer(a, h, e, i, g);
                e.state(0, i, buffer);
                step = cautious(a, step(a, h, g, buffer), g, h.has(CAUTIOUS), h.get(AGREEMENT));
            }
            e.value(i, a.fma(h.get(STEP_SIZE), step, e.value(i)));
        }
    }

    private static double gradient(Arithmetic a, Scalars h, Elements e, long i) {
        return a.regularized(e.value(i), e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
    }

    private static double buffer(Arithmetic a, Scalars h, Elements e, long i, double g) {
        return h.has(FIRST) ? g : a.average(e.state(0, i), h.get(MOMENTUM), g, h.get(UNDAMPENED));
    }

    private static double step(Arithmetic a, Scalars h, double g, double buffer) {
        return h.has(NESTEROV) ? a.fma(h.get(MOMENTUM), buffer, g) : buffer;
    }
}
