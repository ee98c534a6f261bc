package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.optim.Schedulable;

/** Multiplies the learning rate by {@code gamma} every {@code stepSize} epochs, as {@code torch.optim.lr_scheduler.StepLR}. */
public final class StepLR extends EpochLR {
    private long stepSize;
    private double gamma;

    /** With torch's default, a tenth. */
    public StepLR(Schedulable scheduled, long stepSize) {
        this(scheduled, stepSize, 0.1);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param stepSize epochs between changes, at least 1
     * @param gamma the factor
     */
    public StepLR(Schedulable scheduled, long stepSize, double gamma) {
        check(stepSize);
        super(scheduled);
        this.stepSize = stepSize;
        this.gamma = gamma;
        start();
    }

    private static void check(long stepSize) {
        if (stepSize < 1) {
            throw PanoptimException.invalid("StepLR", "Invalid step_size: " + stepSize + ", at least 1 is needed");
        }
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        if (epoch != 0 && epoch % stepSize == 0) {
            for (int i = 0; i < lrs.length; i++) {
                lrs[i] *= gamma;
            }
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        return baseLr(group) * CMath.pow(gamma, epoch / stepSize);
    }

    @Override
    protected void state(SchedulerState state) {
        stepSize = state.integer("step_size", stepSize);
        gamma = state.number("gamma", gamma);
        super.state(state);
        check(stepSize);
    }

    @Override
    boolean isChainable() {
        return true;
    }
}
