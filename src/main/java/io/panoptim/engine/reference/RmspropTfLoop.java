package io.panoptim.engine.reference;

import static io.panoptim.engine.RmspropTfRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/rmsprop_tf.h}. */
final class RmspropTfLoop implements UpdateLoop {
    private static final int SQUARE_AVG = 0;
    private static final int MOMENTUM_BUFFER = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        // The average gradient of the centered form is the last state, behind the momentum buffer if there is one.
        boolean accelerated = e.hasState(h.has(CENTERED) ? 2 : 1);
        int gradAvg = accelerated ? 2 : 1;
        for (long i = e.begin(); i < e.end(); i++) {
            double p = a.multiply(e.value(i), h.get(DECAY));
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            double square = toward(a, h, e.state(SQUARE_AVG, i), a.multiply(g, g));
            e.state(SQUARE_AVG, i, square);
            if (h.has(CENTERED)) {
                double average = toward(a, h, e.state(gradAvg, i), g);
                e.state(gradAvg, i, average);
                square = a.fma(-average, average, square);
            }
            double root = a.sqrt(a.add(square, h.get(EPS)));
            if (accelerated) {
                double buffer = a.addcdiv(a.multiply(e.state(MOMENTUM_BUFFER, i), h.get(MOMENTUM)), g, root, h.get(ACCUMULATION));
                e.state(MOMENTUM_BUFFER, i, buffer);
                e.value(i, a.fma(h.get(STEP_SIZE), buffer, p));
            } else {
                e.value(i, a.addcdiv(p, g, root, h.get(STEP_SIZE)));
            }
        }
    }

    private static double toward(Arithmetic a, Scalars h, double average, double value) {
        return a.fma(h.get(ALPHA_WEIGHT), a.subtract(value, average), average);
    }
}
