package io.panoptim.schedule;

import io.panoptim.engine.CMath;
import io.panoptim.optim.Optimizer;
import java.util.Arrays;

/**
 * Multiplies the learning rate by {@code gamma} at each milestone, as {@code torch.optim.lr_scheduler.MultiStepLR}; a
 * milestone given several times counts as often.
 */
public final class MultiStepLR extends LRScheduler {
    private final long[] milestones;
    private final double gamma;

    /** With torch's default, a tenth. */
    public MultiStepLR(Optimizer optimizer, long... milestones) {
        this(optimizer, milestones, 0.1);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param milestones epochs, in any order
     * @param gamma the factor
     */
    public MultiStepLR(Optimizer optimizer, long[] milestones, double gamma) {
        super(optimizer);
        this.milestones = milestones.clone();
        this.gamma = gamma;
        start();
    }

    @Override
    protected double lr(long epoch, int group, double baseLr, double currentLr) {
        long times = Arrays.stream(milestones).filter(milestone -> milestone == epoch).count();
        return times == 0 ? currentLr : currentLr * CMath.pow(gamma, times);
    }

    @Override
    public double closedForm(long epoch, int group) {
        return baseLr(group) * CMath.pow(gamma, Arrays.stream(milestones).filter(milestone -> milestone <= epoch).count());
    }
}
