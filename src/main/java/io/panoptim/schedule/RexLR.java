package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Schedulable;

/**
 * Lets the learning rate fall ever faster, by {@code (1 - t) / (1 - t / 2)} of the part t of the schedule that has passed, which
 * is the profile of "REX: Revisiting Budgeted Training with an Improved Schedule" (Chen et al., 2021); computed as in
 * {@code pytorch_optimizer}'s {@code REXScheduler}, for each group from its initial learning rate.
 */
public final class RexLR extends EpochLR {
    private long totalIters;
    private double etaMin;

    /** Down to zero. */
    public RexLR(Schedulable scheduled, long totalIters) {
        this(scheduled, totalIters, 0);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param totalIters the epoch from which on the learning rate is the minimum, at least 1
     * @param etaMin the minimum
     */
    public RexLR(Schedulable scheduled, long totalIters, double etaMin) {
        check(totalIters);
        super(scheduled);
        this.totalIters = totalIters;
        this.etaMin = etaMin;
        start();
    }

    private static void check(long totalIters) {
        if (totalIters < 1) {
            throw PanoptimException.invalid("RexLR", "Invalid total_iters: " + totalIters + ", at least 1 is needed");
        }
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        for (int i = 0; i < lrs.length; i++) {
            lrs[i] = closedForm(epoch, i);
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        double t = (double) epoch / totalIters;
        return epoch >= totalIters ? etaMin : etaMin + (baseLr(group) - etaMin) * ((1.0 - t) / (1.0 - t / 2.0));
    }

    @Override
    protected void state(SchedulerState state) {
        totalIters = state.integer("total_iters", totalIters);
        etaMin = state.number("eta_min", etaMin);
        super.state(state);
        check(totalIters);
    }
}
