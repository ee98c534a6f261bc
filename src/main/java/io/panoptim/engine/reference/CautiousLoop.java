package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Rows;
import io.panoptim.tensor.Tensor;

/** The oracle of {@code kernels/cautious.h}: what the rules have in common that can be cautious. */
abstract class CautiousLoop implements SummingLoop {
    @Override
    public final void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared) {
        reduced.set(Rows.SCALARS, Math.max(sums[0][0] / columns, 1e-3));
    }

    /** What an element adds to the sum: it counts if its step goes the gradient's way. */
    static double agreeing(Arithmetic a, double step, double g) {
        return a.multiply(step, g) > 0 ? 1 : 0;
    }

    /** The step to take: none against the gradient, and the rest larger by as much as there is less of it. */
    static double cautious(Arithmetic a, double step, double g, boolean cautious, double agreement) {
        return cautious ? a.multiply(step, agreeing(a, step, g) > 0 ? a.divide(1, agreement) : 0) : step;
    }
}
