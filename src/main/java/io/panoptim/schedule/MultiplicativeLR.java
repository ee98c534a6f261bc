package io.panoptim.schedule;

import io.panoptim.optim.Schedulable;
import java.util.List;
import java.util.function.LongToDoubleFunction;

/**
 * Multiplies the learning rate by a function of the epoch, as {@code torch.optim.lr_scheduler.MultiplicativeLR}. A function
 * that is {@link Stateful} is part of the state.
 */
public final class MultiplicativeLR extends EpochLR {
    private final Functions factors;

    /** One function for all groups. */
    public MultiplicativeLR(Schedulable scheduled, LongToDoubleFunction factor) {
        Functions functions = Functions.forAll("MultiplicativeLR", scheduled, factor);
        super(scheduled);
        this.factors = functions;
        start();
    }

    /** A function for each group. */
    public MultiplicativeLR(Schedulable scheduled, List<? extends LongToDoubleFunction> factors) {
        Functions functions = Functions.forEach("MultiplicativeLR", scheduled, factors);
        super(scheduled);
        this.factors = functions;
        start();
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        for (int i = 0; i < lrs.length && !isInitial(); i++) {
            lrs[i] *= factors.apply(i, epoch);
        }
    }

    /** The product of all factors until then. */
    @Override
    public double closedForm(long epoch, int group) {
        double lr = baseLr(group);
        for (long i = 1; i <= epoch; i++) {
            lr *= factors.apply(group, i);
        }
        return lr;
    }

    @Override
    protected void state(SchedulerState state) {
        super.state(state);
        factors.state(state);
    }

    @Override
    boolean beginsByClosedForm() {
        return false;
    }

    @Override
    boolean isChainable() {
        return true;
    }
}
