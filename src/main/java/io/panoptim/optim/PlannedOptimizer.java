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
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.DoubleSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Optimizers whose step takes several passes, by tables and plans that serve as long as the same places in memory have a gradient. A
 * subclass says what state a place has and what a step does with those that have a gradient.
 *
 * @param <T> what is known of a place
 */
abstract class PlannedOptimizer<T extends PlannedOptimizer.Item> extends Optimizer {
    /** The count of steps among the state. */
    private static final String STEP = "step";

    private static final long NEVER = -1;

    /** One place in memory that is optimized. */
    abstract static class Item extends Tied {
        final ParamGroup group;
        private final long id;
        Map<String, Tensor> states = Map.of();
        final Map<String, DoubleSupplier> numbers = new HashMap<>();
        /** Whether its states have been made, of which there may be none. */
        boolean hasState;
        /** Whether there was a step since they were new, or they were loaded: before, there is nothing to show. */
        boolean begun;
        long step;
        @Nullable Tensor gradient;
        /** What stands for a gradient that is missing, if there ever was one. */
        @Nullable Tensor zeros;

        Item(String name, ParamGroup group, long id) {
            super(name);
            this.group = group;
            this.id = id;
        }

        public String name() {
            return name;
        }

        public ParamGroup group() {
            return group;
        }

        /** Its own in this optimizer, whatever happens. */
        public long id() {
            return id;
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

        /** How many steps were counted. */
        public long step() {
            return step;
        }

        /** Whether a gradient stands for one that is missing. */
        final boolean isZeros(@Nullable Tensor candidate) {
            return candidate != null && candidate == zeros;
        }
    }

    final TiedParameters<T> items = new TiedParameters<>();
    private List<T> present = List.of();
    private @Nullable Memory memory;
    private boolean built;
    /** {@link ParamGroup#gradientChanges} when all gradients were last looked up. */
    private long lookedUp = NEVER;

    PlannedOptimizer(Engine engine, OptionSchema<?> schema) {
        super(engine, schema);
    }

    /** What is known of a place at first; called before the constructor of a subclass has run. */
    abstract T item(String name, ParamGroup group, Parameter parameter, long id);

    /**
     * The state of a place before its first step, by its source's keys: an element of a list by the list's key, a dot and its place.
     *
     * @param allocated allocates it, in zeros
     */
    protected abstract Map<String, Tensor> newState(T item, Memory allocated);

    /** Writes what of a new state is not zero. */
    protected void begin(T item) {}

    /** The keys of numbers among the state, besides the count of steps. */
    protected List<String> numberKeys() {
        return List.of();
    }

    /** Whether the steps of a group's parameters are counted, and the count is part of the state. */
    protected abstract boolean countsSteps(ParamGroup group);

    /** Whether the count is the first of what is shown of the state, or else the last. */
    abstract boolean showsStepFirst();

    /** A saved state by the keys of {@link #newState}. */
    StateDict.Saved entries(T item, StateDict.Saved saved) {
        return saved;
    }

    /** Whether a parameter without a gradient steps as if it were zero, rather than not at all. */
    protected boolean missingAreZero() {
        return false;
    }

    /** Refuses what options of a group have been changed to, before a step and before a state dictionary is taken. */
    protected void checkGroup(ParamGroup group) {}

    /** Refuses options that no step can be taken with, or not with the state that there is. */
    protected void checkStep(T item) {}

    /** Refuses gradients with whose elements no step can be taken: those of what was last given to {@link #build}. */
    protected void checkGradients() {}

    /**
     * Gets ready to step some places, when these are others than before or have other states; refuses what it cannot do.
     *
     * @param stepping those that have a gradient, none of them empty
     */
    protected abstract void build(List<T> stepping);

    /** Some gradients lie elsewhere than before: by their places in the list given to {@link #build}. */
    protected abstract void moved(Map<Integer, Tensor> gradients);

    /** One step of what was last given to {@link #build}, all of whose memory is there. */
    abstract void stepPlanned();

    /** Called after a step with each place that had a gradient, also with empty ones. */
    abstract void stepped(T item);

    /** Frees what {@link #build} made; called again before the next one. */
    protected abstract void freePlans();

    /** Has {@link #build} called again before the next step. */
    protected final void replan() {
        built = false;
    }

    @Override
    protected final void added(ParamGroup group) {
        items.add(group, paramGroups().indexOf(group), (name, parameter, id) -> item(name, group, parameter, id));
        lookedUp = NEVER;
    }

    @Override
    protected final void checkUpdate(boolean skipsOverflow) {
        for (int i = 0; i < paramGroups().size(); i++) {
            checkGroup(paramGroups().get(i));
        }
        synchronize();
        for (int i = 0; i < present.size(); i++) {
            T item = present.get(i);
            checkStep(item);
            item.value().checkAccessible(name() + ".step", "'" + item.name + "'");
            item.gradient().checkAccessible(name() + ".step", "the gradient of '" + item.name + "'");
        }
        if (!skipsOverflow && !present.isEmpty()) {
            checkGradients();
        }
    }

    @Override
    protected final void update() {
        checkUpdate(false);
        if (present.isEmpty()) {
            return;
        }
        try {
            stepPlanned();
        } catch (PanoptimException failed) { // in one of several passes
            throw new PanoptimException(Code.FAULT, name() + ".step", failed.getMessage(), failed);
        }
        for (int i = 0; i < present.size(); i++) {
            present.get(i).begun = true;
            stepped(present.get(i));
        }
    }

    /** Finds out what has a gradient, and where; does nothing when nothing has changed. */
    private void synchronize() {
        long changes = ParamGroup.gradientChanges(); // before the look-up: what changes meanwhile is looked up again
        if (built && changes == lookedUp) {
            return;
        }
        lookedUp = NEVER;
        boolean others = !built;
        boolean moved = false;
        for (int i = 0; i < items.all().size(); i++) {
            T item = items.all().get(i);
            Tensor gradient = coming(item);
            others |= (gradient == null) != (item.gradient == null) || item.isZeros(gradient) != item.isZeros(item.gradient);
            moved |= gradient != item.gradient;
        }
        if (others) {
            rebuild();
        } else if (moved) {
            move();
        }
        lookedUp = changes;
    }

    /** The gradient that a place has now. */
    private @Nullable Tensor coming(T item) {
        if (item.group.isFrozen()) {
            return null;
        }
        Tensor gradient = item.gradientNow(name());
        if (gradient == null && item.sparseGradientNow(name()) != null) {
            throw PanoptimException.unsupported(name() + ".step", name() + " does not support sparse gradients");
        }
        if (gradient == null && missingAreZero()) {
            if (item.zeros == null) {
                item.zeros = memory().zerosLike(item.value());
            }
            return item.zeros;
        }
        return gradient;
    }

    private void rebuild() {
        built = false;
        present = List.of();
        freePlans();
        items.all().forEach(item -> item.gradient = coming(item));
        List<T> now = items.all().stream().filter(item -> item.gradient != null).toList();
        try {
            now.forEach(this::allocate);
            build(now.stream().filter(item -> item.value().elements() > 0).toList());
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
        for (T item : present) {
            Tensor gradient = coming(item);
            if (item.value().elements() > 0) {
                if (gradient != null && gradient != item.gradient) {
                    moves.put(number, gradient);
                }
                number++;
            }
        }
        built = false; // if one of several tables refuses
        moved(moves);
        present.forEach(item -> item.gradient = coming(item));
        built = true;
    }

    private void allocate(T item) {
        if (!item.hasState) {
            item.states = newState(item, memory());
            begin(item);
            item.hasState = true;
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
        T item = items.of(this, parameter);
        LinkedHashMap<String, Tensor> shown = new LinkedHashMap<>();
        if (item.begun) {
            shown.putAll(item.states);
            item.numbers.forEach((key, value) -> shown.put(key, Tensor.of(MemorySegment.ofArray(new double[] {value.getAsDouble()}),
                    DType.FLOAT64)));
            if (countsSteps(item.group)) {
                Tensor step = Tensor.of(MemorySegment.ofArray(new float[] {item.step}), DType.FLOAT32);
                if (showsStepFirst()) {
                    shown.putFirst(STEP, step);
                } else {
                    shown.put(STEP, step);
                }
            }
        }
        return shown;
    }

    @Override
    public final long stateBytes() {
        Counter counter = new Counter();
        items.all().forEach(item -> newState(item, counter));
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

    /** What is restored of one place. */
    private record Restored(Map<String, Tensor> states, Map<String, Double> numbers, long step) {
        static final Restored NOTHING = new Restored(Map.of(), Map.of(), 0);
    }

    @Override
    final Runnable prepareState(StateDict loaded) {
        paramGroups().forEach(this::checkGroup);
        Memory fresh = engine().memory();
        try {
            Map<T, Restored> restored = items.restore(loaded, (item, saved) -> restore(item, entries(item, saved), fresh));
            return () -> replace(fresh, restored);
        } catch (RuntimeException | Error refused) {
            fresh.close();
            throw refused;
        }
    }

    private Restored restore(T item, StateDict.Saved saved, Memory fresh) {
        Map<String, Tensor> states = newState(item, fresh);
        states.forEach((key, state) -> StateDict.copy(this, saved.tensor(key, state.shape()), state));
        Map<String, Double> numbers = new HashMap<>();
        Set<String> known = new HashSet<>(states.keySet());
        for (String key : numberKeys()) { // an empty tensor, which takes no steps, has none
            known.add(key);
            if (saved.get(key) != null) {
                numbers.put(key, saved.number(this, key));
            }
        }
        boolean counts = countsSteps(item.group);
        if (counts) {
            known.add(STEP);
        }
        saved.refuseUnknown(known);
        return new Restored(states, numbers, counts ? (long) saved.number(this, STEP) : 0);
    }

    private void replace(Memory fresh, Map<T, Restored> restored) {
        built = false;
        free();
        memory = fresh;
        items.all().forEach(item -> {
            Restored state = restored.getOrDefault(item, Restored.NOTHING);
            item.hasState = restored.containsKey(item);
            item.begun = item.hasState;
            item.states = state.states;
            item.step = state.step;
            item.numbers.clear();
            state.numbers.forEach((key, value) -> item.numbers.put(key, () -> value));
            item.zeros = null;
        });
    }

    @Override
    protected final void free() {
        freePlans();
        if (memory != null) {
            memory.close();
        }
    }
}
