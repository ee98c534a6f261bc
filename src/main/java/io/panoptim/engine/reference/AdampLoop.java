package io.panoptim.engine.reference;

import static io.panoptim.engine.AdampRow.*;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/rule/adamp.h}. */
final class AdampLoop implements SummingLoop {
    private static final int EXP_AVG = 0;
    private static final int EXP_AVG_SQ = 1;

    @Override
    public void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms) {
        double g = gradient(h, e, i);
        double step = direction(a, h, g, average(a, h, e, i, g), averageSquare(a, h, e, i, g));
        Projection.terms(e.value(i), g, step, terms);
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
            double average = average(a, h, e, i, g);
            double averageSquare = averageSquare(a, h, e, i, g);
            e.state(EXP_AVG, i, average);
            e.state(EXP_AVG_SQ, i, averageSquare);
            double step = direction(a, h, g, average, averageSquare);
            if (projected) {
                step = Projection.project(a, h, p, step);
            }
            e.value(i, a.fma(h.get(STEP_SIZE), step, a.multiply(p, h.get(projected ? PROJECTED_DECAY : DECAY))));
        }
    }

    private static double gradient(Scalars h, Elements e, long i) {
        return h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
    }

    private static double average(Arithmetic a, Scalars h, Elements e, long i, double g) {
        return a.average(e.state(EXP_AVG, i), h.get(EXP_AVG_DECAY), g, h.get(EXP_AVG_WEIGHT));
    }

    private static double averageSquare(Arithmetic a, Scalars h, Elements e, long i, double g) {
        return a.average(e.state(EXP_AVG_SQ, i), h.get(EXP_AVG_SQ_DECAY), g, g, h.get(EXP_AVG_SQ_WEIGHT));
    }

    private static double direction(Arithmetic a, Scalars h, double g, double average, double averageSquare) {
        double ahead = a.add(a.multiply(h.get(EXP_AVG_DECAY), average), a.multiply(h.get(EXP_AVG_WEIGHT), g));
        double denominator = a.add(a.divide(a.sqrt(averageSquare), h.get(ROOT_CORRECTION)), h.get(EPS));
        return a.divide(h.has(NESTEROV) ? ahead : average, denominator);
    }
}
