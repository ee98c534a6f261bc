package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.optim.Schedulable;

/**
 * Lets the learning rate fall to zero as a power of what is left of the schedule, as
 * {@code torch.optim.lr_scheduler.PolynomialLR}.
 */
public final class PolynomialLR extends EpochLR {
    private long totalIters;
    private double power;

    /** With torch's defaults: in 5 epochs, linearly. */
    public PolynomialLR(Schedulable scheduled) {
        this(scheduled, 5, 1);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param totalIters the epoch at which zero is reached; with 0 nothing changes
     * @param power at least 0
     */
    public PolynomialLR(Schedulable scheduled, long totalIters, double power) {
        check(totalIters, power);
        super(scheduled);
        this.totalIters = totalIters;
        this.power = power;
        start();
    }

    private static void check(long totalIters, double power) {
        if (totalIters < 0) {
            throw PanoptimException.invalid("PolynomialLR", "Invalid total_iters: " + totalIters + ", at least 0 is needed");
        }
        if (!(power >= 0)) {
            throw PanoptimException.invalid("PolynomialLR", "Invalid power: " + power + ", at least 0 is needed");
        }
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        if (!isInitial() && epoch <= totalIters) {
            double left = 1.0 - (double) epoch / totalIters;
            double leftBefore = 1.0 - (double) (epoch - 1) / totalIters;
            double factor = CMath.pow(left / leftBefore, power);
            for (int i = 0; i < lrs.length; i++) {
                lrs[i] *= factor;
            }
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        return totalIters == 0 ? baseLr(group)
                : baseLr(group) * CMath.pow(1.0 - (double) Math.min(totalIters, epoch) / totalIters, power);
    }

    @Override
    protected void state(SchedulerState state) {
        totalIters = state.integer("total_iters", totalIters);
        power = state.number("power", power);
        super.state(state);
        check(totalIters, power);
    }

    @Override
    boolean isChainable() {
        return true;
    }
}
