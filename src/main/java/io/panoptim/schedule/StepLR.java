package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.optim.Optimizer;

/** Multiplies the learning rate by {@code gamma} every {@code stepSize} epochs, as {@code torch.optim.lr_scheduler.StepLR}. */
public final class StepLR extends LRScheduler {
    private final long stepSize;
    private final double gamma;

    /** With torch's default, a tenth. */
    public StepLR(Optimizer optimizer, long stepSize) {
        this(optimizer, stepSize, 0.1);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param stepSize epochs between changes, at least 1
     * @param gamma the factor
     */
    public StepLR(Optimizer optimizer, long stepSize, double gamma) {
        if (stepSize < 1) {
            throw PanoptimException.invalid("StepLR", "Invalid step_size: " + stepSize + ", at least 1 is needed");
        }
        super(optimizer);
        this.stepSize = stepSize;
        this.gamma = gamma;
        start();
    }

    @Override
    protected double lr(long epoch, int group, double baseLr, double currentLr) {
        return epoch == 0 || epoch % stepSize != 0 ? currentLr : currentLr * gamma;
    }

    @Override
    public double closedForm(long epoch, int group) {
        return baseLr(group) * CMath.pow(gamma, (double) (epoch / stepSize));
    }
}
