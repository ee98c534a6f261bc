package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.optim.Schedulable;

/**
 * Lets the learning rate fall along a hyperbolic tangent (Hsueh et al., 2018), as {@code timm.scheduler.TanhLRScheduler} in
 * its only cycle: nearly constant at both ends, and steep between.
 */
public final class TanhLR extends EpochLR {
    private long tMax;
    private double lb;
    private double ub;
    private double etaMin;

    /** With timm's defaults: from -7 to 3, down to zero. */
    public TanhLR(Schedulable scheduled, long tMax) {
        this(scheduled, tMax, -7, 3, 0);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param tMax the epoch from which on the learning rate is the minimum, at least 1
     * @param lb where the tangent begins
     * @param ub where it ends, more than that
     * @param etaMin the minimum
     */
    public TanhLR(Schedulable scheduled, long tMax, double lb, double ub, double etaMin) {
        check(tMax, lb, ub);
        super(scheduled);
        this.tMax = tMax;
        this.lb = lb;
        this.ub = ub;
        this.etaMin = etaMin;
        start();
    }

    private static void check(long tMax, double lb, double ub) {
        if (tMax < 1) {
            throw PanoptimException.invalid("TanhLR", "Invalid T_max: " + tMax + ", at least 1 is needed");
        }
        if (!(lb < ub)) {
            throw PanoptimException.invalid("TanhLR", "Invalid bounds: lb (" + lb + ") must be less than ub (" + ub + ")");
        }
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        double tanh = tanh(epoch);
        for (int i = 0; i < lrs.length; i++) {
            lrs[i] = lr(epoch, i, tanh);
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        return lr(epoch, group, tanh(epoch));
    }

    private double tanh(long epoch) {
        double t = (double) epoch / tMax;
        return CMath.tanh(lb * (1. - t) + ub * t);
    }

    private double lr(long epoch, int group, double tanh) {
        return epoch >= tMax ? etaMin : etaMin + 0.5 * (baseLr(group) - etaMin) * (1 - tanh);
    }

    @Override
    protected void state(SchedulerState state) {
        tMax = state.integer("T_max", tMax);
        lb = state.number("lb", lb);
        ub = state.number("ub", ub);
        etaMin = state.number("eta_min", etaMin);
        super.state(state);
        check(tMax, lb, ub);
    }
}
