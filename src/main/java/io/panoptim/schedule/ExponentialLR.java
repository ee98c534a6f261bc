package io.panoptim.schedule;

import io.panoptim.engine.CMath;
import io.panoptim.optim.Schedulable;

/** Multiplies the learning rate by {@code gamma} every epoch, as {@code torch.optim.lr_scheduler.ExponentialLR}. */
public final class ExponentialLR extends EpochLR {
    private double gamma;

    /** Attaches to an optimizer. */
    public ExponentialLR(Schedulable scheduled, double gamma) {
        super(scheduled);
        this.gamma = gamma;
        start();
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        for (int i = 0; i < lrs.length && !isInitial(); i++) {
            lrs[i] *= gamma;
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        return baseLr(group) * CMath.pow(gamma, epoch);
    }

    @Override
    protected void state(SchedulerState state) {
        gamma = state.number("gamma", gamma);
        super.state(state);
    }

    @Override
    boolean isChainable() {
        return true;
    }
}
