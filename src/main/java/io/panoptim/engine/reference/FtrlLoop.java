package io.panoptim.engine.reference;

import static io.panoptim.engine.FtrlRow.*;

import io.panoptim.engine.Arithmetic;

/** The oracle of {@code kernels/rule/ftrl.h}; the rows of {@code ftrl_power.h} begin with the same scalars and flags. */
class FtrlLoop implements UpdateLoop {
    private static final int ACCUMULATOR = 0;
    private static final int LINEAR = 1;

    /** What an accumulated sum becomes. */
    double power(Arithmetic a, Scalars h, double sum) {
        return a.sqrt(sum);
    }

    @Override
    public void run(Arithmetic a, Scalars h, Elements e) {
        double lr = h.get(LR);
        double l1 = h.get(L1);
        double regularization = a.multiply(2, a.add(h.get(L2), a.reciprocalTimes(a.multiply(2, lr), h.get(BETA))));
        for (long i = e.begin(); i < e.end(); i++) {
            double p = e.value(i);
            double g = h.has(MAXIMIZE) ? -e.gradient(i) : e.gradient(i);
            double sum = a.add(e.state(ACCUMULATOR, i), a.multiply(g, g));
            double raised = power(a, h, sum);
            double sigma = a.divide(a.subtract(raised, power(a, h, e.state(ACCUMULATOR, i))), lr);
            double shrunk = a.add(g, a.multiply(h.get(SHRINKAGE), p));
            double linear = a.add(e.state(LINEAR, i), a.subtract(shrunk, a.multiply(sigma, p)));
            e.state(ACCUMULATOR, i, sum);
            e.state(LINEAR, i, linear);
            double quadratic = a.add(a.divide(raised, lr), regularization);
            e.value(i, a.divide(a.subtract(Arithmetic.clamp(linear, -l1, l1), linear), quadratic));
        }
    }
}
