package io.panoptim.engine.reference;

import static io.panoptim.engine.LookaheadRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/lookahead.h}. */
final class LookaheadLoop implements UpdateLoop {
    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double slow = h.has(STARTS) ? p : e.state(0, i);
            if (h.has(FOLLOWS)) {
                slow = a.fma(h.get(ALPHA), a.subtract(p, slow), slow);
            }
            e.value(i, h.has(FOLLOWS) ? slow : p);
            e.state(0, i, slow);
        }
    }
}
