package io.panoptim.engine.reference;

import static io.panoptim.engine.RmspropRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/rmsprop.h}. */
final class RmspropLoop implements UpdateLoop {
    private static final int SQUARE_AVG = 0;
    private static final int MOMENTUM_BUFFER = 1;

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        // The average gradient of the centered form is the last state, behind the momentum buffer if there is one.
        boolean accelerated = e.hasState(h.has(CENTERED) ? 2 : 1);
        int gradAvg = accelerated ? 2 : 1;
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = a.regularized(p, e.gradient(i), h.has(MAXIMIZE), h.has(L2), h.get(WEIGHT_DECAY));
            double square = a.average(e.state(SQUARE_AVG, i), h.get(ALPHA), g, g, h.get(ALPHA_WEIGHT));
            e.state(SQUARE_AVG, i, square);
            if (h.has(CENTERED)) {
                double average = a.lerp(e.state(gradAvg, i), g, h.get(ALPHA_WEIGHT));
                e.state(gradAvg, i, average);
                square = a.fma(-average, average, square);
            }
            double denominator = a.add(a.sqrt(square), h.get(EPS));
            if (accelerated) {
                double buffer = a.add(a.multiply(e.state(MOMENTUM_BUFFER, i), h.get(MOMENTUM)), a.divide(g, denominator));
                e.state(MOMENTUM_BUFFER, i, buffer);
                e.value(i, a.fma(h.get(STEP_SIZE), buffer, p));
            } else {
                e.value(i, a.addcdiv(p, g, denominator, h.get(STEP_SIZE)));
            }
        }
    }
}
