package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Optimizer;
import java.util.Collections;
import java.util.List;
import java.util.function.LongToDoubleFunction;

/** The initial learning rate times a function of the epoch, as {@code torch.optim.lr_scheduler.LambdaLR}. */
public final class LambdaLR extends LRScheduler {
    private final List<LongToDoubleFunction> factors;

    /** One function for all groups. */
    public LambdaLR(Optimizer optimizer, LongToDoubleFunction factor) {
        this(optimizer, Collections.nCopies(optimizer.paramGroups().size(), factor));
    }

    /** A function for each group. */
    public LambdaLR(Optimizer optimizer, List<LongToDoubleFunction> factors) {
        int groups = optimizer.paramGroups().size();
        if (factors.size() != groups) {
            throw PanoptimException.invalid("LambdaLR", "Expected " + groups + " lr_lambdas, but got " + factors.size());
        }
        super(optimizer);
        this.factors = List.copyOf(factors);
        start();
    }

    @Override
    protected double lr(long epoch, int group, double baseLr, double currentLr) {
        return closedForm(epoch, group);
    }

    @Override
    public double closedForm(long epoch, int group) {
        return baseLr(group) * factors.get(group).applyAsDouble(epoch);
    }
}
