package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rule;
import io.panoptim.engine.RuleSums;
import io.panoptim.engine.RuleSums.Over;
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
        return shared + entries.stream().mapToLong(entry -> optimizer.slots(entry.group) * entry.value().bytes()
                + (entry.moving == null ? 0 : entry.moving.bytes())).sum();
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
        List<Tensor> states = new ArrayList<>();
        List<String> keys = keys(entry.group);
        for (int slot = 0; slot < keys.size(); slot++) {
            int place = slot;
            states.add(entry.states.computeIfAbsent(keys.get(slot), key -> newState(entry, place)));
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
            Integer place = optimizer.filled().get(key);
            if (place == null || history[place] != 0) {
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

    /** Besides those {@link #shown}, those of a sparse gradient's momentum; numbers that torch has no tensors of are numbers. */
    Map<String, @Nullable Object> saved(Entry entry, Map<String, Tensor> shown) {
        of(entry); // what options that have changed need from the next step on
        Map<String, @Nullable Object> saved = new LinkedHashMap<>(shown);
        entry.states.forEach((key, tensor) -> {
            if (!optimizer.filled().containsKey(key)) {
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
            return new Loaded(fresh, every, parameters.restore(dict, (entry, saved) -> restore(entry, saved, every, fresh)));
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

    private Restored restore(Entry entry, StateDict.Saved saved, @Nullable Tensor every, Memory fresh) {
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
            known.add(key);
            if (saved.get(key) != null || needed.contains(key) && !filled.containsKey(key)) {
                states.put(key, StateDict.copyLike(optimizer, fresh, saved.tensor(key, entry.value().shape()), entry.value()));
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

    private Tensor newState(Entry entry, int slot) {
        Tensor state = memory().zerosLike(entry.value());
        if (!optimizer.beginsAsValue(entry.group, slot)) {
            return filled(state, optimizer.initialState(entry.group, slot));
        }
        engine.copy(entry.value(), state, optimizer.stream());
        return state;
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
