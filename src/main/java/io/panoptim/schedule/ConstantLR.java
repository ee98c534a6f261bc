package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Schedulable;

/** Multiplies the learning rate by a factor until an epoch, as {@code torch.optim.lr_scheduler.ConstantLR}. */
public final class ConstantLR extends EpochLR {
    private double factor;
    private long totalIters;

    /** With torch's defaults: a third for 5 epochs. */
    public ConstantLR(Schedulable scheduled) {
        this(scheduled, 1.0 / 3, 5);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param factor from 0 to 1; after 0 there is no way back, which the step that should go back then says
     * @param totalIters the epoch at which the factor is taken back
     */
    public ConstantLR(Schedulable scheduled, double factor, long totalIters) {
        check(factor);
        super(scheduled);
        this.factor = factor;
        this.totalIters = totalIters;
        start();
    }

    private static void check(double factor) {
        if (!(factor >= 0 && factor <= 1)) {
            throw PanoptimException.invalid("ConstantLR", "Constant multiplicative factor expected to be between 0 and 1.");
        }
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        if (epoch == 0) {
            multiply(lrs, factor);
        } else if (epoch == totalIters) {
            if (factor == 0) {
                throw PanoptimException.invalid("ConstantLR.step", "float division by zero: the learning rates were multiplied by 0 "
                        + "and cannot be brought back: use a SequentialLR, or a small factor");
            }
            multiply(lrs, 1.0 / factor);
        }
    }

    private static void multiply(double[] lrs, double by) {
        for (int i = 0; i < lrs.length; i++) {
            lrs[i] *= by;
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        return baseLr(group) * (factor + (epoch >= totalIters ? 1 - factor : 0));
    }

    @Override
    protected void state(SchedulerState state) {
        factor = state.number("factor", factor);
        totalIters = state.integer("total_iters", totalIters);
        super.state(state);
        check(factor);
    }

    @Override
    boolean isChainable() {
        return true;
    }
}
