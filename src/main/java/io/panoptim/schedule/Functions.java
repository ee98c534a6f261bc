package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Schedulable;
import java.util.Collections;
import java.util.List;
import java.util.function.LongToDoubleFunction;

/** A function of the epoch for each group. */
record Functions(List<LongToDoubleFunction> functions) {
    static Functions forAll(String scheduler, Schedulable scheduled, LongToDoubleFunction function) {
        return forEach(scheduler, scheduled, Collections.nCopies(scheduled.scheduled().groups().size(), function));
    }

    static Functions forEach(String scheduler, Schedulable scheduled, List<? extends LongToDoubleFunction> functions) {
        int groups = scheduled.scheduled().groups().size();
        if (functions.size() != groups) {
            throw PanoptimException.invalid(scheduler, "Expected " + groups + " lr_lambdas, but got " + functions.size());
        }
        return new Functions(List.copyOf(functions));
    }

    double apply(int group, long epoch) {
        return functions.get(group).applyAsDouble(epoch);
    }

    void state(SchedulerState state) {
        state.parts("lr_lambdas", functions.stream().map(function -> function instanceof Stateful stateful ? stateful : null)
                .toList());
    }
}
