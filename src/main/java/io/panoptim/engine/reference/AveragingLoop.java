package io.panoptim.engine.reference;

import static io.panoptim.engine.AveragingRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/averaging.h}. */
final class AveragingLoop implements UpdateLoop {
    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double average = e.value(i);
            double model = e.gradient(i);
            e.value(i, h.has(EQUAL) ? a.add(average, a.divide(a.subtract(model, average), h.get(COUNT)))
                    : a.add(a.multiply(average, h.get(DECAY)), a.multiply(model, h.get(WEIGHT))));
        }
    }
}
