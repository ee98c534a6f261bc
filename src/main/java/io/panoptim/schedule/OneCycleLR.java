package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.optim.Hyperparameter;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.Schedulable;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Moves the learning rate up to a maximum and down to nearly nothing, once, and the momentum against it, as
 * {@code torch.optim.lr_scheduler.OneCycleLR}. The bounds lie in the groups' fields, as in torch: {@code initial_lr},
 * {@code max_lr}, {@code min_lr}, {@code max_momentum}, {@code base_momentum}.
 */
public final class OneCycleLR extends EpochLR {
    /**
     * The arguments, with torch's names and defaults. Lists hold one number, or one for each group.
     *
     * @param maxLr the highest learning rate
     * @param totalSteps of the cycle, at least 1; one more step is the last that is possible
     * @param pctStart the part of them on the way up, from 0 to 1
     * @param annealStrategy the way up and down
     * @param cycleMomentum whether the momentum, or the first of {@code betas}, moves too
     * @param baseMomentum its value where the learning rate is highest
     * @param maxMomentum its value at both ends
     * @param divFactor the highest learning rate over the initial one
     * @param finalDivFactor the initial learning rate over the last one
     * @param threePhase whether the way down stops at the initial learning rate after as many steps as the way up, and goes on
     *     in a third phase
     */
    public record Options(List<Double> maxLr, long totalSteps, double pctStart, AnnealStrategy annealStrategy,
                          boolean cycleMomentum, List<Double> baseMomentum, List<Double> maxMomentum, double divFactor,
                          double finalDivFactor, boolean threePhase) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            if (totalSteps <= 0) {
                throw PanoptimException.invalid("OneCycleLR", "Expected positive integer total_steps, but got " + totalSteps);
            }
            if (!(pctStart >= 0 && pctStart <= 1)) {
                throw PanoptimException.invalid("OneCycleLR", "Expected float between 0 and 1 pct_start, but got " + pctStart);
            }
            if (pctStart * totalSteps == 1) {
                throw PanoptimException.invalid("OneCycleLR", "float division by zero: pct_start * total_steps is 1, which leaves no "
                        + "step for the way up");
            }
            PerGroup.finite("OneCycleLR", "div_factor", 1 / divFactor);
            PerGroup.finite("OneCycleLR", "final_div_factor", 1 / finalDivFactor);
            maxLr = List.copyOf(maxLr);
            baseMomentum = List.copyOf(baseMomentum);
            maxMomentum = List.copyOf(maxMomentum);
        }

        /** torch's defaults: 30 % of the way up, from a 25th, down to a 10,000th of that, along cosines. */
        public static Options of(double maxLr, long totalSteps) {
            return new Options(List.of(maxLr), totalSteps, 0.3, AnnealStrategy.COS, true, List.of(0.85), List.of(0.95), 25, 1e4,
                    false);
        }

        /** The same for epochs of some steps each. */
        public static Options of(double maxLr, long epochs, long stepsPerEpoch) {
            return of(maxLr, totalSteps(epochs, stepsPerEpoch));
        }

        /** How many steps that many epochs are, each at least 1. */
        public static long totalSteps(long epochs, long stepsPerEpoch) {
            if (epochs <= 0) {
                throw PanoptimException.invalid("OneCycleLR", "Expected positive integer epochs, but got " + epochs);
            }
            if (stepsPerEpoch <= 0) {
                throw PanoptimException.invalid("OneCycleLR", "Expected positive integer steps_per_epoch, but got " + stepsPerEpoch);
            }
            return Math.multiplyExact(epochs, stepsPerEpoch);
        }

        /** A maximum for each group. */
        public Options withMaxLrs(List<Double> newMaxLr) {
            return new Options(newMaxLr, totalSteps, pctStart, annealStrategy, cycleMomentum, baseMomentum, maxMomentum, divFactor,
                    finalDivFactor, threePhase);
        }

        public Options withPctStart(double newPctStart) {
            return new Options(maxLr, totalSteps, newPctStart, annealStrategy, cycleMomentum, baseMomentum, maxMomentum, divFactor,
                    finalDivFactor, threePhase);
        }

        public Options withAnnealStrategy(AnnealStrategy newAnnealStrategy) {
            return new Options(maxLr, totalSteps, pctStart, newAnnealStrategy, cycleMomentum, baseMomentum, maxMomentum, divFactor,
                    finalDivFactor, threePhase);
        }

        public Options withCycleMomentum(boolean newCycleMomentum) {
            return new Options(maxLr, totalSteps, pctStart, annealStrategy, newCycleMomentum, baseMomentum, maxMomentum, divFactor,
                    finalDivFactor, threePhase);
        }

        /** Bounds of the momentum, one or one for each group. */
        public Options withMomentums(List<Double> newBaseMomentum, List<Double> newMaxMomentum) {
            return new Options(maxLr, totalSteps, pctStart, annealStrategy, cycleMomentum, newBaseMomentum, newMaxMomentum, divFactor,
                    finalDivFactor, threePhase);
        }

        public Options withDivFactors(double newDivFactor, double newFinalDivFactor) {
            return new Options(maxLr, totalSteps, pctStart, annealStrategy, cycleMomentum, baseMomentum, maxMomentum, newDivFactor,
                    newFinalDivFactor, threePhase);
        }

        public Options withThreePhase(boolean newThreePhase) {
            return new Options(maxLr, totalSteps, pctStart, annealStrategy, cycleMomentum, baseMomentum, maxMomentum, divFactor,
                    finalDivFactor, newThreePhase);
        }

        private List<Phase> phases(String name) {
            String initial = "initial_" + name;
            String highest = "max_" + name;
            String lowest = "min_" + name;
            double up = pctStart * totalSteps - 1;
            Phase rise = new Phase(up, initial, highest, "max_momentum", "base_momentum");
            return threePhase ? List.of(rise,
                            new Phase(2 * pctStart * totalSteps - 2, highest, initial, "base_momentum", "max_momentum"),
                            new Phase(totalSteps - 1, initial, lowest, "max_momentum", "max_momentum"))
                    : List.of(rise, new Phase(totalSteps - 1, highest, lowest, "base_momentum", "max_momentum"));
        }
    }

    /** A part of the cycle: the names of fields between which it leads. */
    private record Phase(double endStep, String startLr, String endLr, String startMomentum, String endMomentum) {
        Map<String, @Nullable Object> state() {
            Map<String, @Nullable Object> state = new LinkedHashMap<>();
            state.put("end_step", endStep);
            state.put("start_lr", startLr);
            state.put("end_lr", endLr);
            state.put("start_momentum", startMomentum);
            state.put("end_momentum", endMomentum);
            return state;
        }

        static @Nullable Phase of(@Nullable Object state) {
            return state instanceof Map<?, ?> map && map.get("end_step") instanceof Number end && map.get("start_lr") instanceof String lr
                    && map.get("end_lr") instanceof String endLr && map.get("start_momentum") instanceof String momentum
                    && map.get("end_momentum") instanceof String endMomentum
                    ? new Phase(end.doubleValue(), lr, endLr, momentum, endMomentum) : null;
        }
    }

    private final @Nullable MomentumCycle momentum;
    private long totalSteps;
    private List<Phase> phases;
    private AnnealStrategy annealStrategy;

    /** Attaches to an optimizer. */
    public OneCycleLR(Schedulable scheduled, Options options) {
        double[] highest = PerGroup.of("OneCycleLR", "max_lr", scheduled, options.maxLr);
        MomentumCycle cycle = !options.cycleMomentum ? null
                : MomentumCycle.of("OneCycleLR", scheduled, options.baseMomentum, options.maxMomentum);
        if (scheduled.scheduled().lastEpoch() == -1) {
            note(scheduled.scheduled(), options, highest, cycle);
        }
        super(scheduled);
        this.momentum = cycle;
        this.totalSteps = options.totalSteps;
        this.phases = options.phases(hyperparameter.name());
        this.annealStrategy = options.annealStrategy;
        start();
    }

    private static void note(Hyperparameter rates, Options options, double[] highest, @Nullable MomentumCycle cycle) {
        for (int i = 0; i < highest.length; i++) {
            ParamGroup group = rates.groups().get(i);
            double initial = highest[i] / options.divFactor;
            group.field("initial_" + rates.name(), initial);
            group.field("max_" + rates.name(), highest[i]);
            group.field("min_" + rates.name(), initial / options.finalDivFactor);
        }
        if (cycle != null) {
            cycle.start(rates.groups());
        }
    }

    @Override
    protected void lrs(long epoch, double[] lrs) {
        checkNotOver(epoch);
        int phase = phase(epoch);
        double part = part(epoch, phase);
        for (int i = 0; i < lrs.length; i++) {
            lrs[i] = lr(groups.get(i), phase, part);
        }
    }

    @Override
    void updated(long epoch) {
        if (momentum != null) {
            int phase = phase(epoch);
            double part = part(epoch, phase);
            for (int i = 0; i < groups.size(); i++) {
                ParamGroup group = groups.get(i);
                momentum.momentum().set(group, anneal(field(group, phases.get(phase).startMomentum),
                        field(group, phases.get(phase).endMomentum), part));
            }
        }
    }

    @Override
    public double closedForm(long epoch, int group) {
        checkNotOver(epoch);
        int phase = phase(epoch);
        return lr(groups.get(group), phase, part(epoch, phase));
    }

    private void checkNotOver(long epoch) {
        if (epoch > totalSteps) {
            throw PanoptimException.invalid(call("step"), "Tried to step " + epoch + " times. The specified number of total steps is "
                    + totalSteps);
        }
    }

    private int phase(long epoch) {
        int phase = 0;
        while (phase < phases.size() - 1 && epoch > phases.get(phase).endStep) {
            phase++;
        }
        return phase;
    }

    /** How much of a phase has passed. */
    private double part(long epoch, int phase) {
        double start = phase == 0 ? 0 : phases.get(phase - 1).endStep;
        return (epoch - start) / (phases.get(phase).endStep - start);
    }

    private double lr(ParamGroup group, int phase, double part) {
        return anneal(field(group, phases.get(phase).startLr), field(group, phases.get(phase).endLr), part);
    }

    private double anneal(double start, double end, double part) {
        return switch (annealStrategy) {
            case COS -> end + (start - end) / 2.0 * (CMath.cos(Math.PI * part) + 1);
            case LINEAR -> (end - start) * part + start;
        };
    }

    @Override
    protected void state(SchedulerState state) {
        totalSteps = state.integer("total_steps", totalSteps);
        phases = state.field("_schedule_phases", phases, present -> present.stream().map(Phase::state).toList(),
                OneCycleLR::phases, "a list of phases");
        annealStrategy = state.choice("_anneal_func_type", annealStrategy);
        boolean cyclesMomentum = momentum != null;
        if (state.flag("cycle_momentum", cyclesMomentum) != cyclesMomentum) {
            throw state.refusal("cycle_momentum", "expected " + cyclesMomentum + ", as this scheduler was made");
        }
        if (momentum != null) {
            state.constant("use_beta1", momentum.isBeta1());
        }
        super.state(state);
    }

    private static @Nullable List<Phase> phases(Object value) {
        List<Phase> phases = new ArrayList<>();
        if (value instanceof List<?> list && !list.isEmpty()) {
            for (Object element : list) {
                Phase phase = Phase.of(element);
                if (phase == null) {
                    return null;
                }
                phases.add(phase);
            }
            return phases;
        }
        return null;
    }

    @Override
    boolean beginsByClosedForm() {
        return false;
    }
}
