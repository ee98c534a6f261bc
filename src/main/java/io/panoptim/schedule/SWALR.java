package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.Schedulable;
import java.util.List;

/**
 * Leads the learning rate to that of stochastic weight averaging and keeps it there, as
 * {@code torch.optim.swa_utils.SWALR}. The goal lies in the groups' field {@code swa_lr}.
 */
public final class SWALR extends EpochLR {
    private final String goalField;
    private long annealEpochs;
    private AnnealStrategy annealStrategy;

    /** With torch's defaults: in 10 epochs, along a cosine. */
    public SWALR(Schedulable scheduled, double swaLr) {
        this(scheduled, List.of(swaLr), 10, AnnealStrategy.COS);
    }

    /**
     * Attaches to an optimizer.
     *
     * @param swaLr the goal: one, or one for each group
     * @param annealEpochs how long the way there is, at least 0
     */
    public SWALR(Schedulable scheduled, List<Double> swaLr, long annealEpochs, AnnealStrategy annealStrategy) {
        double[] goals = PerGroup.of("SWALR", "swa_lr", scheduled, swaLr);
        check(annealEpochs);
        super(scheduled);
        this.goalField = "swa_" + hyperparameter.name();
        this.annealEpochs = annealEpochs;
        this.annealStrategy = annealStrategy;
        for (int i = 0; i < goals.length; i++) {
            groups.get(i).field(goalField, goals[i]);
        }
        start();
    }

    private static void check(long annealEpochs) {
        if (annealEpochs < 0) {
            throw PanoptimException.invalid("SWALR", "anneal_epochs must be equal or greater than 0, got " + annealEpochs);
        }
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        long step = step(stepCount() - 1);
        double partBefore = part(step - 1);
        double part = part(step);
        for (int i = 0; i < lrs.length; i++) {
            double goal = goal(groups.get(i));
            double start = partBefore == 1 ? goal : (lrs[i] - partBefore * goal) / (1 - partBefore);
            lrs[i] = goal * part + start * (1 - part);
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        double part = part(step(epoch));
        return goal(groups.get(group)) * part + baseLr(group) * (1 - part);
    }

    private double goal(ParamGroup group) {
        return field(group, goalField);
    }

    private long step(long epoch) {
        return annealEpochs == 0 ? Math.max(1, epoch) : epoch;
    }

    /** How much of the way has passed after so many steps. */
    private double part(long step) {
        double t = Math.max(0, Math.min(1, (double) step / Math.max(1, annealEpochs)));
        return annealStrategy == AnnealStrategy.COS ? (1 - CMath.cos(Math.PI * t)) / 2 : t;
    }

    @Override
    protected void state(SchedulerState state) {
        annealStrategy = state.choice("_anneal_strategy", annealStrategy);
        annealEpochs = state.integer("anneal_epochs", annealEpochs);
        super.state(state);
        check(annealEpochs);
    }

    @Override
    boolean beginsByClosedForm() {
        return false;
    }

    @Override
    boolean isChainable() {
        return true;
    }
}
