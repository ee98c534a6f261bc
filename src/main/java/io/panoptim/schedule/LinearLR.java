package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Schedulable;

/** Multiplies the learning rate by a factor that moves from one to another, as {@code torch.optim.lr_scheduler.LinearLR}. */
public final class LinearLR extends EpochLR {
    private double startFactor;
    private double endFactor;
    private long totalIters;

    /** With torch's defaults: from a third to 1 in 5 epochs. */
    public LinearLR(Schedulable scheduled) {
        this(scheduled, 1.0 / 3, 1, 5);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param startFactor above 0, at most 1
     * @param endFactor from 0 to 1
     * @param totalIters the epoch at which the second is reached; with 0 the first stays
     */
    public LinearLR(Schedulable scheduled, double startFactor, double endFactor, long totalIters) {
        check(startFactor, endFactor, totalIters);
        super(scheduled);
        this.startFactor = startFactor;
        this.endFactor = endFactor;
        this.totalIters = totalIters;
        start();
    }

    private static void check(double startFactor, double endFactor, long totalIters) {
        if (!(startFactor > 0 && startFactor <= 1)) {
            throw PanoptimException.invalid("LinearLR",
                    "Starting multiplicative factor expected to be greater than 0 and less or equal to 1.");
        }
        if (!(endFactor >= 0 && endFactor <= 1)) {
            throw PanoptimException.invalid("LinearLR", "Ending multiplicative factor expected to be between 0 and 1.");
        }
        if (totalIters < 0) {
            throw PanoptimException.invalid("LinearLR", "Invalid total_iters: " + totalIters + ", at least 0 is needed");
        }
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        double factor = 1;
        if (epoch == 0) {
            factor = startFactor;
        } else if (!isInitial() && epoch <= totalIters) {
            factor = 1.0 + (endFactor - startFactor) / (totalIters * startFactor + (epoch - 1) * (endFactor - startFactor));
        }
        for (int i = 0; i < lrs.length; i++) {
            lrs[i] *= factor;
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        return baseLr(group) * (totalIters == 0 ? startFactor
                : startFactor + (endFactor - startFactor) * Math.min(totalIters, epoch) / totalIters);
    }

    @Override
    protected void state(SchedulerState state) {
        startFactor = state.number("start_factor", startFactor);
        endFactor = state.number("end_factor", endFactor);
        totalIters = state.integer("total_iters", totalIters);
        super.state(state);
        check(startFactor, endFactor, totalIters);
    }

    @Override
    boolean isChainable() {
        return true;
    }
}
