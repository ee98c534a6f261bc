package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Engine;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Optimizers whose step takes several passes over tensors of any shape, each with state of its own shapes. A subclass says what state a
 * tensor has and what a step does with those that have a gradient.
 *
 * @param <O> the options
 */
public abstract class TensorOptimizer<O extends Record> extends Optimizer {
    /** The count of steps among the state. */
    private static final String STEP = "step";
    /** What stands between a list's key and an element's place. */
    private static final String ELEMENT = ".";

    /** One place in memory that is optimized. */
    public static final class Target extends Tied {
        private final ParamGroup group;
        private Map<String, Tensor> states = Map.of();
        private final Map<String, Double> numbers = new HashMap<>();
        private boolean hasState;
        private boolean isNew;
        private long step;
        private @Nullable Tensor gradient;

        private Target(String name, ParamGroup group) {
            super(name);
            this.group = group;
        }

        public String name() {
            return name;
        }

        public ParamGroup group() {
            return group;
        }

        /** The memory of the parameter. */
        public Tensor tensor() {
            return value();
        }

        /** The gradient of the coming step. */
        public Tensor gradient() {
            return Objects.requireNonNull(gradient);
        }

        /** A state by its source's key; of a list's elements {@code key.0}, {@code key.1}, …. */
        public Tensor state(String key) {
            return Objects.requireNonNull(states.get(key), key);
        }

        /** The same, or null where there is none. */
        public @Nullable Tensor stateOrNull(String key) {
            return states.get(key);
        }

        /** Whether its state is what {@link TensorOptimizer#newState} gave, and there was no step since. */
        public boolean isNew() {
            return isNew;
        }

        /** How many steps were counted. */
        public long step() {
            return step;
        }

        /** Counts the coming step. */
        public long count() {
            return ++step;
        }

        /** Keeps a number among the state. */
        public void number(String key, double value) {
            numbers.put(key, value);
        }
    }

    private final TiedParameters<Target> targets = new TiedParameters<>();
    private List<Target> present = List.of();
    private @Nullable Memory memory;
    private boolean built;

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

    /**
     * A tensor's state before its first step, by its source's keys: an element of a list by the list's key, a dot and its place.
     *
     * @param allocated allocates it, in zeros
     */
    protected abstract Map<String, Tensor> newState(Target target, Memory allocated);

    /** Writes what of a new state is not zero. */
    protected void begin(Target target) {}

    /** The keys of numbers among the state, besides the count of steps. */
    protected List<String> numberKeys() {
        return List.of();
    }

    /** Lists among the state, and how many elements they have; those that are no tensors are saved as empty lists. */
    protected Map<String, Integer> lists(Target target) {
        return Map.of();
    }

    /** Entries of a saved state that follow from the options, and are not read. */
    protected Set<String> unread() {
        return Set.of();
    }

    /**
     * Gets ready to step some tensors, when these are others than before or have other states; refuses what it cannot do.
     *
     * @param stepping those that have a gradient, none of them empty
     */
    protected abstract void build(List<Target> stepping);

    /** Some gradients lie elsewhere than before: by the places of their tensors in the list given to {@link #build}. */
    protected abstract void moved(Map<Integer, Tensor> gradients);

    /** Refuses options that no step can be taken with, or not with the state that there is. */
    protected void checkStep(Target target) {}

    /** One step of the tensors last given to {@link #build}, all of whose memory is there. */
    protected abstract void stepTargets();

    /** Frees what {@link #build} made; called again before the next one. */
    protected abstract void freePlans();

    /** Has {@link #build} called again before the next step. */
    protected final void rebuildNext() {
        built = false;
    }

    @Override
    protected final void added(ParamGroup group) {
        targets.add(group, paramGroups().indexOf(group), (name, parameter, id) -> new Target(name, group));
    }

    @Override
    protected final void update() {
        synchronize();
        if (present.isEmpty()) {
            return;
        }
        for (int i = 0; i < present.size(); i++) {
            Target target = present.get(i);
            checkStep(target);
            target.value().checkAccessible(name() + ".step", "'" + target.name + "'");
            target.gradient().checkAccessible(name() + ".step", "the gradient of '" + target.name + "'");
        }
        try {
            stepTargets();
        } catch (PanoptimException failed) { // in one of several passes
            throw new PanoptimException(Code.FAULT, name() + ".step", failed.getMessage(), failed);
        }
        for (int i = 0; i < present.size(); i++) {
            Target target = present.get(i);
            target.isNew = false;
            if (target.value().elements() == 0) {
                target.count();
            }
        }
    }

    /** Finds out what has a gradient, and where; does nothing when nothing has changed. */
    private void synchronize() {
        boolean others = !built;
        boolean moved = false;
        for (int i = 0; i < targets.all().size(); i++) {
            Target target = targets.all().get(i);
            Tensor gradient = coming(target);
            others |= (gradient == null) != (target.gradient == null);
            moved |= gradient != target.gradient;
        }
        if (others) {
            rebuild();
        } else if (moved) {
            move();
        }
    }

    /** The gradient that a tensor has now. */
    private @Nullable Tensor coming(Target target) {
        if (target.group.isFrozen()) {
            return null;
        }
        Tensor gradient = target.gradientNow(name());
        if (gradient == null && target.sparseGradientNow(name()) != null) {
            throw PanoptimException.unsupported(name() + ".step", name() + " does not support sparse gradients");
        }
        return gradient;
    }

    private void rebuild() {
        built = false;
        present = List.of();
        freePlans();
        targets.all().forEach(target -> target.gradient = coming(target));
        List<Target> now = targets.all().stream().filter(target -> target.gradient != null).toList();
        try {
            now.forEach(this::allocate);
            build(now.stream().filter(target -> target.value().elements() > 0).toList());
        } catch (RuntimeException | Error refused) {
            freePlans();
            throw refused;
        }
        present = now;
        built = true;
    }

    private void move() {
        Map<Integer, Tensor> moves = new HashMap<>();
        int number = 0;
        for (Target target : present) {
            Tensor gradient = coming(target);
            if (target.value().elements() > 0) {
                if (gradient != null && gradient != target.gradient) {
                    moves.put(number, gradient);
                }
                number++;
            }
        }
        built = false; // if one of several tables refuses
        moved(moves);
        present.forEach(target -> target.gradient = coming(target));
        built = true;
    }

    private void allocate(Target target) {
        if (!target.hasState) {
            target.states = newState(target, memory());
            begin(target);
            target.hasState = true;
            target.isNew = true;
        }
    }

    private Memory memory() {
        if (memory == null) {
            memory = engine().memory();
        }
        return memory;
    }

    @Override
    protected final Map<String, Tensor> stateOf(Parameter parameter) {
        Target target = targets.of(this, parameter);
        Map<String, Tensor> states = new LinkedHashMap<>();
        if (target.hasState && !target.isNew) {
            states.put(STEP, Tensor.of(MemorySegment.ofArray(new float[] {target.step}), DType.FLOAT32));
            states.putAll(target.states);
            target.numbers.forEach((key, value) -> states.put(key, Tensor.of(MemorySegment.ofArray(new double[] {value}), DType.FLOAT64)));
        }
        return states;
    }

    @Override
    final Map<String, @Nullable Object> savedState(Parameter parameter) {
        Map<String, @Nullable Object> saved = new LinkedHashMap<>(stateOf(parameter));
        if (!saved.isEmpty()) {
            lists(targets.of(this, parameter)).forEach((key, size) -> {
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
    public final long stateBytes() {
        Counter counter = new Counter();
        targets.all().forEach(target -> newState(target, counter));
        return counter.bytes;
    }

    /** Counts what would be allocated; the tensors that it gives lie nowhere. */
    private static final class Counter implements Memory {
        private long bytes;

        @Override
        public Device device() {
            return Device.cuda(0);
        }

        @Override
        public Tensor zeros(DType dtype, long... shape) {
            Tensor counted = Tensor.ofAddress(0, this, device(), dtype, shape);
            bytes += counted.bytes();
            return counted;
        }

        @Override
        public Tensor zerosLike(Tensor tensor, DType dtype) {
            return zeros(dtype, tensor.shape());
        }

        @Override
        public long bytes() {
            return bytes;
        }

        @Override
        public void close() {}
    }

    /** What is restored of one tensor. */
    private record Restored(Map<String, Tensor> states, Map<String, Double> numbers, long step) {}

    @Override
    final Runnable prepareState(StateDict loaded) {
        Memory fresh = engine().memory();
        try {
            Map<Target, Restored> restored = targets.restore(loaded, (target, saved) -> restore(target, saved, fresh));
            return () -> replace(fresh, restored);
        } catch (RuntimeException | Error refused) {
            fresh.close();
            throw refused;
        }
    }

    private Restored restore(Target target, StateDict.Saved saved, Memory fresh) {
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
        StateDict.Saved entries = new StateDict.Saved(saved.call(), saved.path(), flat);
        Map<String, Tensor> states = newState(target, fresh);
        states.forEach((key, state) -> StateDict.copy(this, entries.tensor(key, state.shape()), state));
        Map<String, Double> numbers = new HashMap<>();
        Set<String> known = new HashSet<>(states.keySet());
        known.add(STEP);
        for (String key : numberKeys()) { // an empty tensor, which takes no steps, has none
            known.add(key);
            if (entries.get(key) != null) {
                numbers.put(key, entries.number(this, key));
            }
        }
        entries.refuseUnknown(known);
        return new Restored(states, numbers, (long) entries.number(this, STEP));
    }

    /** Maps within maps, as sources nest what they keep of parts, become entries whose keys have dots between theirs. */
    private static void flatten(String key, Object value, Map<String, Object> flat) {
        if (value instanceof Map<?, ?> nested) {
            nested.forEach((inner, element) -> flatten(key + ELEMENT + inner, element, flat));
        } else {
            flat.put(key, value);
        }
    }

    private void replace(Memory fresh, Map<Target, Restored> restored) {
        built = false;
        freePlans();
        if (memory != null) {
            memory.close();
        }
        memory = fresh;
        for (Target target : targets.all()) {
            Restored state = restored.get(target);
            target.hasState = state != null;
            target.isNew = false;
            target.states = state == null ? Map.of() : state.states;
            target.step = state == null ? 0 : state.step;
            target.numbers.clear();
            if (state != null) {
                target.numbers.putAll(state.numbers);
            }
        }
    }

    @Override
    protected final void free() {
        freePlans();
        if (memory != null) {
            memory.close();
        }
    }
}
