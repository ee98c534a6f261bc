package io.panoptim.tools.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.function.DoubleSupplier;

/** Compares gradients with differences of the loss. */
public final class Gradients {
    /** Small, so that few of a network's kinks, where a maximum changes, lie within it; losses are computed in double. */
    private static final double STEP = 1e-6;
    private static final int CHECKED = 30;
    private static final double TOLERANCE = 1e-6;

    private Gradients() {}

    /** Checks some of each parameter's gradients, of each task, in the first batch. */
    public static void check(Experiment experiment) {
        experiment.select(0, 0);
        for (Task task : experiment.tasks()) {
            for (Task.Group group : task.groups()) {
                for (Parameter parameter : group.parameters()) {
                    check(parameter, task.lossAndGradients());
                }
            }
        }
    }

    /** Checks some of a parameter's gradients. */
    public static void check(Parameter parameter, DoubleSupplier lossAndGradients) {
        long elements = parameter.value().elements();
        long stride = Math.ceilDiv(elements, CHECKED);
        boolean any = false;
        for (long i = 0; i < elements; i += stride) {
            lossAndGradients.getAsDouble();
            double found = parameter.gradient().get(i);
            assertEquals(slope(parameter.value(), i, lossAndGradients), found, TOLERANCE * Math.max(1, Math.abs(found)),
                    parameter + ", element " + i);
            any |= found != 0;
        }
        assertTrue(any, parameter + " has no gradient at all");
    }

    private static double slope(Tensor value, long index, DoubleSupplier lossAndGradients) {
        double before = value.get(index);
        double[] at = new double[2];
        double[] losses = new double[2];
        for (int i = 0; i < 2; i++) {
            value.set(index, before + (2 * i - 1) * STEP);
            at[i] = value.get(index); // rounded
            losses[i] = lossAndGradients.getAsDouble();
        }
        value.set(index, before);
        return (losses[1] - losses[0]) / (at[1] - at[0]);
    }
}
