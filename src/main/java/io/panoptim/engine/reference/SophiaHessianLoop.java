package io.panoptim.engine.reference;

import static io.panoptim.engine.SophiaHessianRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/sophia_hessian.h}. */
final class SophiaHessianLoop implements UpdateLoop {
    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        for (long i = e.begin(); i < e.end(); i++) {
            double sample = e.gradient(i);
            e.value(i, a.average(e.value(i), h.get(HESSIAN_DECAY), sample, sample, h.get(HESSIAN_WEIGHT)));
        }
    }
}
