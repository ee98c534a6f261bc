package io.panoptim.engine.reference;

import static io.panoptim.engine.SgdpRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/sgdp.h}. */
final class SgdpLoop implements SummingLoop {
    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double g = gradient(h, e, i);
        Projection.terms(e.value(i), g, direction(a, h, g, buffer(a, h, e, i, g)), terms);
    }

    @Override
    public void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        Projection.finish(h.get(EPS), h.get(DELTA), columns, sums, reduced);
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        boolean projected = h.has(PROJECTS) && Projection.isProjected(h);
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = gradient(h, e, i);
            double buffer = buffer(a, h, e, i, g);
            e.state(0, i, buffer);
            double step = direction(a, h, g, buffer);
            if (projected) {
                step = Projection.project(a, h, p, step);
            }
            e.value(i, a.fma(h.get(STEP_SIZE), step, a.multiply(p, h.get(projected ? PROJECTED_DECAY : DECAY))));
        }
    }

    private static double gradient(Scalars h, Elements e, long i) {
        return h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
    }

    private static double buffer(Arithmetic a, Scalars h, Elements e, long i, double g) {
        return a.average(e.state(0, i), h.get(MOMENTUM), g, h.get(UNDAMPENED));
    }

    private static double direction(Arithmetic a, Scalars h, double g, double buffer) {
        return h.has(NESTEROV) ? a.add(g, a.multiply(h.get(MOMENTUM), buffer)) : buffer;
    }
}
