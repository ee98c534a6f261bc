package io.panoptim.engine.reference;

import static io.panoptim.engine.LerpRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/lerp.h}. */
final class LerpLoop implements UpdateLoop {
    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            e.value(i, a.lerp(e.value(i), e.gradient(i), h.get(WEIGHT)));
        }
    }
}
