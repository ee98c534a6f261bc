package io.panoptim.engine.reference;

import static io.panoptim.engine.MuonUpdateRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/muon_update.h}. */
final class MuonUpdateLoop implements UpdateLoop {
    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            e.value(i, a.fma(h.get(STEP_SIZE), e.gradient(i), a.multiply(e.value(i), h.get(DECAY))));
        }
    }
}
