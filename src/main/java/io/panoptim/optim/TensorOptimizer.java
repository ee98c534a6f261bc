package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.DoubleSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Optimizers whose step takes several passes over tensors of any shape, each with state of its own shapes. A subclass says what state a
 * tensor has and what a step does with those that have a gradient.
 *
 * @param <O> the options
 */
public abstract class TensorOptimizer<O extends Record> extends PlannedOptimizer<TensorOptimizer.Target> {
    /** What stands between a list's key and an element's place. */
    private static final String ELEMENT = ".";

    /** One place in memory that is optimized. */
    public static final class Target extends Item {
        private Target(String name, ParamGroup group, long id) {
            super(name, group, id);
        }

        /** As {@link #state}, or null where there is none. */
        public @Nullable Tensor stateOrNull(String key) {
            return states.get(key);
        }

        /** Whether its state is what {@link TensorOptimizer#newState} gave, and there was no step since. */
        public boolean isNew() {
            return !begun;
        }

        /** Counts the coming step. */
        public long count() {
            return ++step;
        }

        /** Keeps a number among the state, which is asked for when it is needed. */
        public void number(String key, DoubleSupplier value) {
            numbers.put(key, value);
        }
    }

    /** An optimizer of one group. */
    @SuppressWarnings("this-escape") // what a subclass checks of a parameter needs nothing of its own
    protected TensorOptimizer(Engine engine, OptionSchema<O> schema, List<Parameter> parameters, O options) {
        super(engine, schema);
        addParamGroup(parameters, options);
    }

    /** Adds a group with options of its own. */
    public final void addParamGroup(List<Parameter> parameters, O options) {
        for (int i = 0; i < parameters.size(); i++) {
            checkParameter(Tied.name(parameters.get(i), i, paramGroups().size()), parameters.get(i).value());
        }
        add(parameters, options);
    }

    /** Refuses a parameter that it cannot step; called before the constructor of a subclass has run. */
    protected void checkParameter(String name, Tensor value) {}

    /** Lists among the state, and how many elements they have; those that are no tensors are saved as empty lists. */
    protected Map<String, Integer> lists(Target target) {
        return Map.of();
    }

    /** Entries of a saved state that follow from the options, and are not read. */
    protected Set<String> unread() {
        return Set.of();
    }

    /** One step of the tensors last given to {@link #build}, all of whose memory is there. */
    protected abstract void stepTargets();

    @Override
    final void stepPlanned() {
        stepTargets();
    }

    @Override
    final void stepped(Target target) {
        if (target.value().elements() == 0) {
            target.count();
        }
    }

    @Override
    final Target item(String name, ParamGroup group, Parameter parameter, long id) {
        return new Target(name, group, id);
    }

    @Override
    protected boolean countsSteps(ParamGroup group) {
        return true;
    }

    @Override
    final boolean showsStepFirst() {
        return true;
    }

    @Override
    final Map<String, @Nullable Object> savedState(Parameter parameter) {
        Map<String, @Nullable Object> saved = new LinkedHashMap<>(stateOf(parameter));
        if (!saved.isEmpty()) {
            lists(items.of(this, parameter)).forEach((key, size) -> {
                List<Object> elements = new ArrayList<>();
                for (int i = 0; i < size; i++) {
                    Object element = saved.remove(key + ELEMENT + i);
                    elements.add(element == null ? List.of() : element);
                }
                saved.put(key, elements);
            });
        }
        return saved;
    }

    @Override
    final StateDict.Saved entries(Target target, StateDict.Saved saved) {
        Map<String, Integer> lists = lists(target);
        Map<String, Object> flat = new LinkedHashMap<>();
        saved.values().forEach((key, value) -> {
            if (value instanceof List<?> list && key instanceof String name && lists.containsKey(name)) {
                for (int i = 0; i < list.size(); i++) {
                    if (list.get(i) instanceof Tensor) {
                        flat.put(name + ELEMENT + i, list.get(i));
                    }
                }
            } else if (value != null && !unread().contains(key)) {
                flatten(String.valueOf(key), value, flat);
            }
        });
        return new StateDict.Saved(saved.call(), saved.path(), flat);
    }

    /** Maps within maps, as sources nest what they keep of parts, become entries whose keys have dots between theirs. */
    private static void flatten(String key, Object value, Map<String, Object> flat) {
        if (value instanceof Map<?, ?> nested) {
            nested.forEach((inner, element) -> flatten(key + ELEMENT + inner, element, flat));
        } else {
            flat.put(key, value);
        }
    }
}
