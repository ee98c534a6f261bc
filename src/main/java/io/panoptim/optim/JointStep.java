package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Control;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Measurement;
import io.panoptim.engine.Table;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Optimizers that step together, in two passes over memory: one that measures all their gradients, and each one's own, with which
 * rides along whatever a step carries. {@code train.TrainingStep} is built on this.
 */
public final class JointStep {
    private final List<Optimizer> optimizers;
    private final List<Table> tables = new ArrayList<>();

    /**
     * Of some optimizers on one engine.
     *
     * @throws PanoptimException when one of them cannot take part: those whose update is one rule over one table can
     */
    public JointStep(List<Optimizer> optimizers) {
        if (optimizers.isEmpty() || new HashSet<>(optimizers).size() < optimizers.size()) {
            throw PanoptimException.invalid("JointStep", "expected at least one optimizer, and each once");
        }
        Map<Object, Optimizer> owners = new HashMap<>();
        for (Optimizer optimizer : optimizers) {
            optimizer.paramGroups().forEach(group -> group.params().forEach(parameter -> {
                if (owners.putIfAbsent(Place.key(parameter), optimizer) instanceof Optimizer owner && owner != optimizer) {
                    throw PanoptimException.invalid("JointStep", parameter + " is optimized by two of the optimizers");
                }
            }));
            if (optimizer.engine() != optimizers.getFirst().engine()) {
                throw PanoptimException.invalid("JointStep", optimizer.name() + " is of the " + optimizer.engine().name()
                        + " engine, and " + optimizers.getFirst().name() + " of the " + optimizers.getFirst().engine().name()
                        + " engine: what steps together is of one engine");
            }
            if (!canCarry(optimizer)) {
                throw PanoptimException.unsupported("JointStep", optimizer.name() + " does several passes of its own: clip, unscale "
                        + "and average in separate calls");
            }
        }
        this.optimizers = List.copyOf(optimizers);
    }

    /** Whether an optimizer's step can carry anything. */
    public static boolean canCarry(Optimizer optimizer) {
        return optimizer instanceof FusedOptimizer;
    }

    public List<Optimizer> optimizers() {
        return optimizers;
    }

    public Engine engine() {
        return optimizers.getFirst().engine();
    }

    /**
     * Lets tensors ride along with a parameter's updates: its average, its copy.
     *
     * @param column their number in {@link io.panoptim.engine.Column}
     * @param tensors of every parameter that is to have one; they replace those that the column had
     */
    public void carry(int column, Map<Parameter, Tensor> tensors) {
        optimizers.forEach(optimizer -> ((FusedOptimizer<?>) optimizer).carry(column, tensors));
    }

    /** Lets nothing ride along in a column any more, whatever state the optimizers are in. */
    public void release(int column) {
        optimizers.forEach(optimizer -> ((FusedOptimizer<?>) optimizer).release(column));
    }

    /** Measures the gradients that the coming step is going to use. */
    public void measure(Measurement measurement, Control control) {
        checkStreams(optimizers);
        tables.clear();
        for (int i = 0; i < optimizers.size(); i++) {
            Table table = ((FusedOptimizer<?>) optimizers.get(i)).gradientTable();
            if (table != null) {
                tables.add(table);
            }
        }
        engine().measure(tables, measurement, control, optimizers.getFirst().stream());
    }

    /** What {@link io.panoptim.engine.Extras.Part#STATISTICS} added up in the last step that took place, by group; waits for the device. */
    public List<GroupStatistics> statistics() {
        Map<ParamGroup, double[]> sums = new LinkedHashMap<>();
        optimizers.forEach(optimizer -> optimizer.paramGroups().forEach(group -> sums.put(group, new double[GroupStatistics.SUMS])));
        optimizers.forEach(optimizer -> ((FusedOptimizer<?>) optimizer).addStatistics(sums));
        return sums.entrySet().stream().map(entry -> GroupStatistics.of(entry.getKey(), entry.getValue())).toList();
    }

    /** What is measured for all is ordered before each one's step. */
    private static void checkStreams(List<Optimizer> optimizers) {
        for (int i = 1; i < optimizers.size(); i++) {
            if (!optimizers.get(i).stream().equals(optimizers.getFirst().stream())) {
                throw PanoptimException.invalid("JointStep", optimizers.get(i).name() + " and " + optimizers.getFirst().name()
                        + " work on different streams: what steps together is ordered on one, set by stream(...)");
            }
        }
    }

    /**
     * Refuses what any of some optimizers would refuse in the coming step, but for its hooks: to be called before anything is done to their
     * gradients, where not all of them can carry it, and before the first one steps.
     *
     * @param skipsOverflow whether none of them steps if a gradient is infinite or NaN, which then is no reason to refuse the step
     * @throws PanoptimException when one of them cannot step; nothing is written then
     */
    public static void checkReady(List<Optimizer> optimizers, boolean skipsOverflow) {
        checkStreams(optimizers);
        for (int i = 0; i < optimizers.size(); i++) {
            optimizers.get(i).checkReady(skipsOverflow);
        }
    }

    /** Steps one optimizer after the other, once all of them are found ready. */
    public void step(StepContext context) {
        checkStreams(optimizers);
        for (int i = 0; i < optimizers.size() && optimizers.size() > 1; i++) {
            ((FusedOptimizer<?>) optimizers.get(i)).checkReady(context);
        }
        for (int i = 0; i < optimizers.size(); i++) {
            optimizers.get(i).step(context);
        }
    }
}
