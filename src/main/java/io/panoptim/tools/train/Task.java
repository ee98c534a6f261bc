package io.panoptim.tools.train;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.function.DoubleSupplier;

/**
 * What one optimizer does: it lowers a loss.
 *
 * @param name tells it from an experiment's other tasks; empty if there is none
 * @param groups the optimizer's parameter groups
 * @param lossAndGradients sets the gradients of all parameters that are not frozen, and returns the loss; called again, it
 *     does the same
 */
public record Task(String name, List<Group> groups, DoubleSupplier lossAndGradients) {
    /**
     * A parameter group.
     *
     * @param name tells it from the others; empty if there is none
     * @param rate its initial learning rate is so many times the one that was asked for
     */
    public record Group(String name, List<Parameter> parameters, double rate) {
        /** Refuses what is no rate, and says which option gave it. */
        public static void checkRate(String option, double rate) {
            if (!(rate >= 0 && rate < Double.POSITIVE_INFINITY)) {
                throw PanoptimException.invalid(option, rate + ": expected a factor of at least 0");
            }
        }
    }

    /** The only task of an experiment, with one group. */
    public static Task of(List<Parameter> parameters, DoubleSupplier lossAndGradients) {
        return new Task("", List.of(new Group("", parameters, 1)), lossAndGradients);
    }
}
