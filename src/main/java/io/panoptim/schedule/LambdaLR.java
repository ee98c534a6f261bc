package io.panoptim.schedule;

import io.panoptim.optim.Schedulable;
import java.util.List;
import java.util.function.LongToDoubleFunction;

/**
 * The initial learning rate times a function of the epoch, as {@code torch.optim.lr_scheduler.LambdaLR}. {@link Factors} has
 * the functions of well-known schedules. A function that is {@link Stateful} is part of the state.
 */
public final class LambdaLR extends EpochLR {
    private final Functions factors;

    /** One function for all groups. */
    public LambdaLR(Schedulable scheduled, LongToDoubleFunction factor) {
        Functions functions = Functions.forAll("LambdaLR", scheduled, factor);
        super(scheduled);
        this.factors = functions;
        start();
    }

    /** A function for each group. */
    public LambdaLR(Schedulable scheduled, List<? extends LongToDoubleFunction> factors) {
        Functions functions = Functions.forEach("LambdaLR", scheduled, factors);
        super(scheduled);
        this.factors = functions;
        start();
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        for (int i = 0; i < lrs.length; i++) {
            lrs[i] = closedForm(epoch, i);
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        return baseLr(group) * factors.apply(group, epoch);
    }

    @Override
    protected void state(SchedulerState state) {
        super.state(state);
        factors.state(state);
    }
}
