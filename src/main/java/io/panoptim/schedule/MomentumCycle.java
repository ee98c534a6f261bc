package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Hyperparameter;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.Schedulable;
import java.util.List;

/**
 * The momentum that moves against the learning rate: the option of that name, or the first of {@code betas}.
 *
 * @param momentum what is moved
 * @param isBeta1 whether it is the first of {@code betas}
 * @param lowest for each group
 * @param highest for each group
 */
record MomentumCycle(Hyperparameter momentum, boolean isBeta1, double[] lowest, double[] highest) {
    static MomentumCycle of(String scheduler, Schedulable scheduled, List<Double> lowest, List<Double> highest) {
        Hyperparameter rates = scheduled.scheduled();
        if (!rates.name().equals("lr")) {
            throw PanoptimException.invalid(scheduler, "momentum is cycled with the learning rate only: set cycle_momentum to false "
                    + "to schedule '" + rates.name() + "'");
        }
        List<String> options = rates.groups().getFirst().optionNames();
        boolean isBeta1 = options.contains("betas");
        if (!isBeta1 && !options.contains("momentum")) {
            throw PanoptimException.invalid(scheduler,
                    "optimizer must support momentum or beta1 with `cycle_momentum` option enabled");
        }
        return new MomentumCycle(rates.optimizer().hyperparameter(isBeta1 ? "betas[0]" : "momentum"), isBeta1,
                PerGroup.of(scheduler, "base_momentum", scheduled, lowest),
                PerGroup.of(scheduler, "max_momentum", scheduled, highest));
    }

    /** Sets the highest, and notes both in the groups, as torch does. */
    void start(List<ParamGroup> groups) {
        for (int i = 0; i < highest.length; i++) {
            ParamGroup group = groups.get(i);
            momentum.set(group, highest[i]);
            group.field("max_momentum", highest[i]);
            group.field("base_momentum", lowest[i]);
        }
    }
}
