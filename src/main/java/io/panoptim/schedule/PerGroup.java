package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Schedulable;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Arguments that are one number, or one for each group. */
final class PerGroup {
    private PerGroup() {}

    static List<Double> list(double... values) {
        return Arrays.stream(values).boxed().toList();
    }

    /** A finite number for each group, or torch's refusal. */
    static double[] of(String scheduler, String name, Schedulable scheduled, List<Double> values) {
        int groups = scheduled.scheduled().groups().size();
        if (values.size() != groups && values.size() != 1) {
            throw PanoptimException.invalid(scheduler, name + " must have the same length as optimizer.param_groups. " + name + " has "
                    + values.size() + " values, param_groups has " + groups + ".");
        }
        List<Double> all = values.size() == groups ? values : Collections.nCopies(groups, values.getFirst());
        for (double value : all) {
            finite(scheduler, name, value);
        }
        return all.stream().mapToDouble(Double::doubleValue).toArray();
    }

    static void finite(String scheduler, String name, double value) {
        if (!Double.isFinite(value)) {
            throw PanoptimException.invalid(scheduler, "Invalid " + name + ": " + value + ", a finite number is needed");
        }
    }
}
