package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Column;
import io.panoptim.engine.Engine;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rule;
import io.panoptim.engine.RuleSums;
import io.panoptim.engine.RuleSums.Over;
import io.panoptim.engine.StateCode;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.optim.FusedOptimizer.Entry;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The states of a {@link FusedOptimizer}'s parameters: where they lie, what they hold at first, and how they are shown, saved and
 * loaded.
 */
final class FusedStates implements AutoCloseable {
    /** Saved beside a momentum that only rows with gradients have: bits of rows. */
    private static final String REACHED_ROWS = "reached_rows";

    /** Of the key of a quantised state: its scales. */
    private static final String SCALE = "_scale";

    /** What is saved of a group with quantised states: their code. */
    static final String FORMAT = "state_format";

    /** What an entry is to have in place of what it has. */
    private record Restored(Map<String, Tensor> states, @Nullable Tensor shared, @Nullable Tensor moving, double[] history) {}

    /** States that have been read from a dictionary, in memory of their own, which is closed if they are not to be taken over. */
    record Loaded(Memory memory, @Nullable Tensor everyTensors, Map<Entry, Restored> entries) {
        /** An entry's history, or null if there is none of it. */
        double @Nullable [] history(Entry entry) {
            Restored restored = entries.get(entry);
            return restored == null ? null : restored.history;
        }
    }

    private final FusedOptimizer<?> optimizer;
    private final Engine engine;
    /** The optimizer's first one: others have the same states. */
    private final Rule rule;
    /** What the rule's sums are taken over, if it takes any. */
    private final @Nullable Over over;
    /** The states that all tensors share. */
    private @Nullable Tensor everyTensors;
    private @Nullable Memory memory;
    private Storage storage = Storage.defaults();

    FusedStates(FusedOptimizer<?> optimizer, Rule rule) {
        this.optimizer = optimizer;
        this.engine = optimizer.engine();
        this.rule = rule;
        RuleSums sums = rule.sums();
        this.over = sums == null ? null : sums.over();
    }

    /** How many bytes there are once each of the entries has state. */
    long bytes(List<Entry> entries) {
        long shared = entries.stream().limit(isGlobal() ? 1 : entries.size())
                .mapToLong(entry -> rule.sharedStates().size() * sharedElements(entry) * DType.FLOAT64.bytes()).sum();
        return shared + entries.stream().mapToLong(entry -> keys(entry.group).stream().mapToLong(key -> bytes(entry, key)).sum()
                + (hasMore(entry) ? entry.value().elements() * moreType(entry).bytes() : 0)
                + (entry.moving == null ? 0 : entry.moving.bytes())).sum();
    }

    private long bytes(Entry entry, String key) {
        long elements = entry.value().elements();
        StateCode code = code(entry, key);
        return code == null ? elements * stateType(entry, key).bytes() : code.bytes(elements) + code.blocks(elements) * storage.scales().bytes();
    }

    Storage storage() {
        return storage;
    }

    /** Says how what is allocated from now on is stored. */
    void storage(Storage newStorage) {
        storage = newStorage;
    }

    /** The code of a state that is quantised, or null. */
    private @Nullable StateCode code(Entry entry, String key) {
        int slot = rule.states().indexOf(key);
        return slot < 0 || entry.parameters.getFirst().wholeElements() < storage.minElements() ? null : storage.states().code(rule, slot);
    }

    private DType stateType(Entry entry, String key) {
        return code(entry, key) != null ? DType.UINT8 : storage.stateType(entry.value().dtype());
    }

    /** Whether there is something beside an entry's value. */
    private boolean hasMore(Entry entry) {
        DType value = entry.value().dtype();
        return storage.values().hasMore() && value != value.computeType();
    }

    private DType moreType(Entry entry) {
        return switch (storage.values()) {
            case MASTER -> DType.FLOAT32;
            case REMAINDER -> DType.INT16;
            default -> entry.value().dtype();
        };
    }

    /** The key of what is beside values. */
    private String moreKey() {
        return storage.values() == Storage.Values.KAHAN ? "compensation" : storage.values().name().toLowerCase(Locale.ROOT);
    }

    /** The columns besides those of states, of an entry that has states: what rides along, scales, and what there is beside the value. */
    Map<Integer, Tensor> others(Entry entry) {
        Map<Integer, Tensor> others = new LinkedHashMap<>(entry.carried);
        List<String> keys = keys(entry.group);
        for (int slot = 0; slot < keys.size(); slot++) {
            Tensor scale = entry.states.get(keys.get(slot) + SCALE);
            if (scale != null) {
                others.put(Column.SCALE + slot, scale);
            }
        }
        if (hasMore(entry)) {
            others.put(storage.values() == Storage.Values.KAHAN ? Column.COMPENSATION : Column.MASTER, entry.state(moreKey()));
        }
        return others;
    }

    /** By slot, the codes of quantised states. */
    Map<Integer, StateCode> codes(Entry entry) {
        Map<Integer, StateCode> codes = new LinkedHashMap<>();
        List<String> keys = keys(entry.group);
        for (int slot = 0; slot < keys.size(); slot++) {
            StateCode code = code(entry, keys.get(slot));
            if (code != null) {
                codes.put(slot, code);
            }
        }
        return codes;
    }

    /** The keys of the slots that a group's options need. */
    List<String> keys(ParamGroup group) {
        return IntStream.range(0, optimizer.slots(group)).mapToObj(slot -> optimizer.stateKey(group, slot)).toList();
    }

    /** Whether the rule's shared states are those of all tensors: the groups save them. */
    boolean isGlobal() {
        return over == Over.GLOBAL;
    }

    /** The states that an entry's options need now, by slot, then those that its elements share; those it had before are kept. */
    List<Tensor> of(Entry entry) {
        storage.check(optimizer.name(), entry.name, entry.value().dtype());
        List<Tensor> states = new ArrayList<>();
        List<String> keys = keys(entry.group);
        for (int slot = 0; slot < keys.size(); slot++) {
            String key = keys.get(slot);
            if (!entry.states.containsKey(key)) {
                addState(entry, slot, key);
            }
            states.add(entry.state(key));
        }
        if (hasMore(entry) && !entry.states.containsKey(moreKey())) {
            entry.states.put(moreKey(), newMore(entry, memory()));
        }
        if (!rule.sharedStates().isEmpty()) {
            if (entry.shared == null) {
                entry.shared = isGlobal() && everyTensors != null ? everyTensors : newSharedStates(entry);
                everyTensors = isGlobal() ? entry.shared : null;
            }
            states.add(entry.shared);
        }
        return states;
    }

    /** Which rows of an entry step without a gradient too, as bits. */
    Tensor moving(Entry entry, FusedOptimizer.Moving which) {
        if (entry.moving == null) {
            entry.moving = memory().zeros(DType.INT64, RowGradient.words(entry.value().shape()[0]));
            entry.reached = which == FusedOptimizer.Moving.REACHED;
            if (which == FusedOptimizer.Moving.ALL) {
                engine.fill(entry.moving, -1, optimizer.stream());
            }
        }
        return entry.moving;
    }

    /** Refuses a step that options have made impossible: shared states are not divided anew. */
    void checkShared(Entry entry) {
        if (entry.shared != null && sharedLength(entry.shared) != sharedElements(entry)) {
            throw PanoptimException.invalid(optimizer.name() + ".step", "'" + entry.name + "' has state for "
                    + sharedLength(entry.shared) + " rows or blocks, and cannot get " + sharedElements(entry) + ": put the options back");
        }
    }

    /** Those that are shown of an entry with a history, by torch's keys. */
    Map<String, Tensor> shown(Entry entry, double[] history) {
        Map<String, Tensor> shown = new LinkedHashMap<>();
        optimizer.numbers().forEach((key, place) -> {
            Tensor scalar = Tensor.zeros(Arena.ofAuto(), optimizer.numberType(key));
            scalar.set(0, history[place]);
            shown.put(key, scalar);
        });
        entry.states.forEach((key, tensor) -> {
            if (isShown(key, history)) {
                shown.put(key, tensor);
            }
        });
        for (String key : rule.sharedStates()) {
            if (entry.shared != null && optimizer.showsSharedState(entry.group, key)) {
                shown.put(key, sharedState(entry.shared, key));
            }
        }
        return shown;
    }

    /** Whether a state, or the state that scales are of, has been filled. */
    private boolean isShown(String key, double[] history) {
        Integer place = optimizer.filled().get(stateOf(key));
        return place == null || history[place] != 0;
    }

    private static String stateOf(String key) {
        return key.endsWith(SCALE) ? key.substring(0, key.length() - SCALE.length()) : key;
    }

    /** Besides those {@link #shown}, those of a sparse gradient's momentum; numbers that torch has no tensors of are numbers. */
    Map<String, @Nullable Object> saved(Entry entry, Map<String, Tensor> shown) {
        of(entry); // what options that have changed need from the next step on
        Map<String, @Nullable Object> saved = new LinkedHashMap<>(shown);
        entry.states.forEach((key, tensor) -> {
            if (!optimizer.filled().containsKey(stateOf(key))) {
                saved.put(key, tensor);
            }
        });
        optimizer.numbers().keySet().forEach(key -> {
            Tensor number = Objects.requireNonNull(shown.get(key));
            if (number.dtype() != DType.FLOAT32) {
                saved.put(key, number.dtype() == DType.INT64 ? (Object) (long) number.get(0) : (Object) number.get(0));
            }
        });
        if (isGlobal()) {
            rule.sharedStates().forEach(saved::remove); // the groups'
        }
        if (entry.moving != null && entry.reached) {
            saved.put(REACHED_ROWS, entry.moving);
        }
        return saved;
    }

    /** What all tensors share, as every group saves it; nothing before there is any. */
    Map<String, Double> savedOfEveryTensors() {
        Map<String, Double> saved = new LinkedHashMap<>();
        if (everyTensors != null) {
            for (String key : rule.sharedStates()) {
                saved.put(key, StateDict.scalar(optimizer, sharedState(everyTensors, key)));
            }
        }
        return saved;
    }

    /** Checks and copies what a dictionary has. */
    Loaded load(StateDict dict, TiedParameters<Entry> parameters) {
        Memory fresh = engine.memory();
        try {
            Tensor every = isGlobal() ? restoreEveryTensors(dict.groups, fresh) : null;
            return new Loaded(fresh, every, parameters.restore(dict, (entry, saved) -> restore(entry, saved,
                    format(dict.groups.get(optimizer.paramGroups().indexOf(entry.group))), every, fresh)));
        } catch (RuntimeException | Error refused) {
            fresh.close();
            throw refused;
        }
    }

    /** What all tensors share, which every group has saved; null if none has. */
    private @Nullable Tensor restoreEveryTensors(List<StateDict.Saved> groups, Memory fresh) {
        StateDict.Saved first = groups.getFirst();
        if (rule.sharedStates().stream().allMatch(key -> first.get(key) == null)) {
            return null;
        }
        Tensor every = fresh.zeros(DType.FLOAT64, rule.sharedStates().size());
        for (String key : rule.sharedStates()) {
            double value = first.number(optimizer, key);
            for (StateDict.Saved group : groups) {
                if (group.get(key) != null && Double.compare(group.number(optimizer, key), value) != 0) {
                    throw group.refusal(key, "differs from the first group's, but is estimated for all of them together");
                }
            }
            engine.fill(sharedState(every, key), value, optimizer.stream());
        }
        return every;
    }

    private Restored restore(Entry entry, StateDict.Saved saved, Storage.@Nullable States format, @Nullable Tensor every, Memory fresh) {
        storage.check(optimizer.name(), entry.name, entry.value().dtype());
        ParamGroup group = entry.group;
        Map<String, Integer> numbers = optimizer.numbers();
        Map<String, Integer> filled = optimizer.filled();
        Set<String> known = new LinkedHashSet<>(numbers.keySet());
        double[] history = optimizer.initialHistory(entry);
        numbers.forEach((key, place) -> {
            double number = saved.number(optimizer, key);
            history[place] = optimizer.numberType(key) == DType.FLOAT32 ? (float) number : number;
        });
        Map<String, Tensor> states = new LinkedHashMap<>();
        List<String> needed = keys(group);
        Set<String> slots = new LinkedHashSet<>(needed);
        slots.addAll(rule.states());
        for (String key : slots) {
            known.addAll(List.of(key, key + SCALE));
            if (saved.get(key) != null || needed.contains(key) && !filled.containsKey(key)) {
                restoreState(entry, key, saved, format, states, fresh);
            }
        }
        if (hasMore(entry)) {
            known.add(moreKey());
            if (saved.get(moreKey()) != null) { // else it is made of the value as the next step finds it: weights may be loaded afterwards
                states.put(moreKey(), restoreMore(entry, saved, fresh));
            }
        }
        Tensor moving = null;
        if (saved.get(REACHED_ROWS) != null) {
            long[] shape = entry.value().shape();
            moving = fresh.zeros(DType.INT64, RowGradient.words(shape.length == 0 ? 1 : shape[0]));
            Tensor rows = saved.tensor(REACHED_ROWS, moving.shape());
            if (rows.dtype() != DType.INT64) {
                throw saved.refusal(REACHED_ROWS, "expected int64, found " + rows);
            }
            engine.copy(rows, moving, optimizer.stream());
        }
        known.add(REACHED_ROWS);
        boolean sparse = moving != null;
        filled.forEach((key, place) -> history[place] = !states.containsKey(key) ? 0 : sparse ? 2 : 1);
        Tensor shared = every;
        if (!isGlobal() && !rule.sharedStates().isEmpty()) {
            known.addAll(rule.sharedStates());
            shared = restoreShared(entry, saved, fresh);
        }
        saved.refuseUnknown(known);
        return new Restored(states, shared, moving, history);
    }

    /** Memory for a state of zeros, or for its codes. */
    private Tensor newState(Entry entry, @Nullable StateCode code, DType type, Memory memory) {
        return code != null && code.isPacked() ? memory.zeros(DType.UINT8, code.bytes(entry.value().elements())) : memory.zerosLike(entry.value(), type);
    }

    /** Bit by bit where it was saved as it is to be stored; by way of float32 otherwise. */
    private void restoreState(Entry entry, String key, StateDict.Saved saved, Storage.@Nullable States format, Map<String, Tensor> states,
                              Memory fresh) {
        StateCode code = code(entry, key);
        StateCode savedCode = savedCode(key, saved, format);
        long elements = entry.value().elements();
        Tensor from = savedCode != null && savedCode.isPacked() ? saved.tensor(key, savedCode.bytes(elements)) : saved.tensor(key, entry.value().shape());
        Tensor to = newState(entry, code, stateType(entry, key), fresh);
        if (savedCode == null && code == null) {
            StateDict.copy(optimizer, from, to);
        } else {
            Tensor scale = savedCode == null ? null : saved.tensor(key + SCALE, savedCode.blocks(elements));
            Tensor toScale = code == null ? null : newScale(entry, code, fresh);
            if (savedCode == code && scale != null && toScale != null && scale.dtype() == toScale.dtype() && from.sameLayout(to)) {
                engine.copy(from, to, optimizer.stream());
                engine.copy(scale, toScale, optimizer.stream());
            } else {
                convert(entry, from, scale, savedCode, to, toScale, code);
            }
            if (toScale != null) {
                states.put(key + SCALE, toScale);
            }
        }
        states.put(key, to);
    }

    private @Nullable StateCode savedCode(String key, StateDict.Saved saved, Storage.@Nullable States format) {
        if (!(saved.get(key) instanceof Tensor from) || from.dtype() != DType.UINT8) {
            return null;
        }
        int slot = rule.states().indexOf(key);
        StateCode code = format == null || slot < 0 ? null : format.code(rule, slot);
        if (code == null) {
            throw saved.refusal(key, "is of codes, and its group's '" + FORMAT + "' does not say which");
        }
        return code;
    }

    /** Codes are in memory order: they are taken apart, and put together, as numbers in the layout that they had; packed ones in the value's. */
    private void convert(Entry entry, Tensor from, @Nullable Tensor scale, @Nullable StateCode savedCode, Tensor to, @Nullable Tensor toScale,
                         @Nullable StateCode code) {
        try (Arena arena = Arena.ofShared()) {
            Tensor numbers = StateDict.onHost(optimizer, from);
            if (savedCode != null && scale != null) {
                Tensor layout = savedCode.isPacked() ? entry.value() : numbers;
                int elements = Math.toIntExact(layout.elements());
                float[] decoded = savedCode.dequantize(numbers, StateDict.onHost(optimizer, scale), 0, elements);
                numbers = Tensor.of(arena.allocate(elements * (long) Float.BYTES, 64), DType.FLOAT32, layout.shape(), layout.strides());
                for (int i = 0; i < decoded.length; i++) {
                    numbers.set(i, decoded[i]);
                }
            }
            if (code == null || toScale == null) {
                StateDict.copy(optimizer, numbers, to);
                return;
            }
            Tensor value = entry.value();
            Tensor ordered = Tensor.of(arena.allocate(value.elements() * Float.BYTES, 64), DType.FLOAT32, value.shape(), value.strides());
            StateDict.copyOnHost(numbers, ordered);
            float[] values = new float[Math.toIntExact(value.elements())];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) ordered.get(i);
            }
            Tensor codes = Tensor.of(arena.allocate(to.elements(), 64), DType.UINT8, to.shape(), to.strides());
            Tensor scales = Tensor.zeros(arena, toScale.dtype(), toScale.elements());
            code.quantize(values, codes, scales, 0);
            engine.copy(codes, to, optimizer.stream());
            engine.copy(scales, toScale, optimizer.stream());
        }
    }

    private Tensor restoreMore(Entry entry, StateDict.Saved saved, Memory fresh) {
        Tensor from = saved.tensor(moreKey(), entry.value().shape());
        if (from.dtype() != moreType(entry)) {
            throw saved.refusal(moreKey(), "expected " + moreType(entry) + ", found " + from);
        }
        Tensor to = fresh.zerosLike(entry.value(), moreType(entry));
        StateDict.copy(optimizer, from, to);
        return to;
    }

    private static Storage.@Nullable States format(StateDict.Saved group) {
        Object name = group.get(FORMAT);
        for (Storage.States format : Storage.States.values()) {
            if (format.isQuantized() && format.name().toLowerCase(Locale.ROOT).equals(name)) {
                return format;
            }
        }
        if (name != null) {
            throw group.refusal(FORMAT, "there is no format '" + name + "' of quantised states");
        }
        return null;
    }

    /** Adds to a saved group what its parameters' states are to be read with. */
    void saveFormat(Map<String, @Nullable Object> group) {
        if (storage.states().isQuantized()) {
            group.put(FORMAT, storage.states().name().toLowerCase(Locale.ROOT));
        }
    }

    private Tensor restoreShared(Entry entry, StateDict.Saved saved, Memory fresh) {
        Tensor all = fresh.zeros(DType.FLOAT64, rule.sharedStates().size() * sharedElements(entry));
        for (String key : rule.sharedStates()) {
            Tensor state = sharedState(all, key);
            if (saved.get(key) == null && !optimizer.showsSharedState(entry.group, key)) {
                filled(state, optimizer.initialSharedState(entry.group, key));
            } else if (saved.require(key) instanceof Tensor tensor && tensor.elements() == state.elements()) {
                StateDict.copy(optimizer, tensor.slice(0, state.shape()), state);
            } else {
                throw saved.refusal(key, "expected a tensor of shape " + Arrays.toString(state.shape()) + ", found " + saved.get(key));
            }
        }
        return all;
    }

    /** Takes states over. The memory of those before, whose closing may be refused, goes first. */
    void replace(Loaded loaded, List<Entry> entries) {
        try {
            close();
        } catch (PanoptimException inUse) {
            loaded.memory.close();
            throw inUse;
        }
        memory = loaded.memory;
        everyTensors = loaded.everyTensors;
        for (Entry entry : entries) {
            Restored restored = loaded.entries.get(entry);
            entry.states.clear();
            entry.states.putAll(restored == null ? Map.of() : restored.states);
            entry.shared = restored == null ? null : restored.shared;
            entry.moving = restored == null ? null : restored.moving;
            entry.reached = entry.moving != null;
        }
    }

    private void addState(Entry entry, int slot, String key) {
        StateCode code = code(entry, key);
        Tensor state = newState(entry, code, stateType(entry, key), memory());
        double initial = optimizer.initialState(entry.group, slot);
        if (code != null) {
            Tensor scale = newScale(entry, code, memory());
            if (initial != 0) { // one code stands for all: the scale is that number
                Tensor one = Tensor.zeros(Arena.ofAuto(), DType.UINT8, 1);
                Tensor scaleOfOne = Tensor.zeros(Arena.ofAuto(), storage.scales(), 1);
                code.quantize(code.isPacked() ? new float[] {(float) initial, (float) initial} : new float[] {(float) initial}, one, scaleOfOne, 0);
                engine.fill(state, one.get(0), optimizer.stream());
                engine.fill(scale, scaleOfOne.get(0), optimizer.stream());
            } else {
                filled(state, code.filling(code.zero()));
            }
            entry.states.put(key + SCALE, scale);
        } else if (optimizer.beginsAsValue(entry.group, slot)) {
            widen(entry.value(), state);
        } else {
            filled(state, initial);
        }
        entry.states.put(key, state);
    }

    private Tensor newScale(Entry entry, StateCode code, Memory memory) {
        return memory.zeros(storage.scales(), code.blocks(entry.value().elements()));
    }

    /** What is beside a value at first: a master is the value, of which nothing is lacking or lost yet. */
    private Tensor newMore(Entry entry, Memory memory) {
        Tensor more = memory.zerosLike(entry.value(), moreType(entry));
        if (storage.values() == Storage.Values.MASTER) {
            widen(entry.value(), more);
        }
        return more;
    }

    /** Copies numbers of one type to those of the same or a wider one, with the same layout. */
    private void widen(Tensor from, Tensor to) {
        if (from.dtype() == to.dtype()) {
            engine.copy(from, to, optimizer.stream());
            return;
        }
        TensorEntry pair = new TensorEntry("value", from, null, List.of(), Map.of(Column.MASTER, to), 0, 0, from.elements(), 0, 1);
        try (Table table = engine.table(List.of(pair))) {
            engine.map(table, MapOperation.cast(Column.MASTER, Column.VALUE), optimizer.stream());
        }
    }

    private Tensor newSharedStates(Entry entry) {
        Tensor all = memory().zeros(DType.FLOAT64, rule.sharedStates().size() * sharedElements(entry));
        for (String key : rule.sharedStates()) {
            filled(sharedState(all, key), optimizer.initialSharedState(entry.group, key));
        }
        return all;
    }

    private Tensor sharedState(Tensor all, String key) {
        long elements = sharedLength(all);
        long[] shape = over == Over.ROW ? new long[] {elements} : new long[0];
        return all.slice(rule.sharedStates().indexOf(key) * elements, shape);
    }

    /** How many elements each of the states has that have been allocated. */
    private long sharedLength(Tensor all) {
        return all.elements() / rule.sharedStates().size();
    }

    /** How many elements each of the shared states needs. */
    private long sharedElements(Entry entry) {
        return over == Over.ROW ? optimizer.rows(entry.group, entry.parameters.getFirst()) : 1;
    }

    private Memory memory() {
        if (memory == null) {
            memory = engine.memory();
        }
        return memory;
    }

    private Tensor filled(Tensor state, double initial) {
        if (initial != 0) {
            engine.fill(state, initial, optimizer.stream());
        }
        return state;
    }

    @Override
    public void close() {
        if (memory != null) {
            memory.close();
        }
    }
}
