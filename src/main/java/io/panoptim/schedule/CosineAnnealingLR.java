package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.optim.Schedulable;

/**
 * Lets the learning rate fall along half a cosine, and rise again along the next half, as
 * {@code torch.optim.lr_scheduler.CosineAnnealingLR}.
 */
public final class CosineAnnealingLR extends EpochLR {
    private long tMax;
    private double etaMin;

    /** Down to zero. */
    public CosineAnnealingLR(Schedulable scheduled, long tMax) {
        this(scheduled, tMax, 0);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param tMax the epoch at which the minimum is reached, at least 1
     * @param etaMin the minimum
     */
    public CosineAnnealingLR(Schedulable scheduled, long tMax, double etaMin) {
        check(tMax);
        super(scheduled);
        this.tMax = tMax;
        this.etaMin = etaMin;
        start();
    }

    private static void check(long tMax) {
        if (tMax < 1) {
            throw PanoptimException.invalid("CosineAnnealingLR", "Invalid T_max: " + tMax + ", at least 1 is needed");
        }
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        if (isInitial()) {
            return;
        }
        if (stepCount() == 1 && epoch > 0) { // its state was loaded as if it had never been stepped
            for (int i = 0; i < lrs.length; i++) {
                lrs[i] = closedForm(epoch, i);
            }
        } else if ((epoch - 1 - tMax) % (2 * tMax) == 0) { // from the minimum no ratio leads on
            double rise = 1 - CMath.cos(Math.PI / tMax);
            for (int i = 0; i < lrs.length; i++) {
                lrs[i] += (baseLr(i) - etaMin) * rise / 2;
            }
        } else {
            double ratio = (1 + CMath.cos(Math.PI * epoch / tMax)) / (1 + CMath.cos(Math.PI * (epoch - 1) / tMax));
            for (int i = 0; i < lrs.length; i++) {
                lrs[i] = ratio * (lrs[i] - etaMin) + etaMin;
            }
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        return etaMin + (baseLr(group) - etaMin) * (1 + CMath.cos(Math.PI * epoch / tMax)) / 2;
    }

    @Override
    protected void state(SchedulerState state) {
        tMax = state.integer("T_max", tMax);
        etaMin = state.number("eta_min", etaMin);
        super.state(state);
        check(tMax);
    }

    @Override
    boolean isChainable() {
        return true;
    }
}
