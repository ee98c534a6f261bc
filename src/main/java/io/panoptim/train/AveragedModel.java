package io.panoptim.train;

import io.panoptim.PanoptimException;
import io.panoptim.engine.AveragingRow;
import io.panoptim.engine.Column;
import io.panoptim.engine.Control;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.optim.Place;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * A running average of a model, as {@code torch.optim.swa_utils.AveragedModel}: of its parameters and, if asked for, of its buffers, which
 * else are copied. The first update copies; those after it follow {@link Averaging}. Everything has the type, shape and layout of what it
 * is the average of, and memory of its own. Buffers of integers are copied always, as timm does (torch rounds their averages towards zero).
 *
 * <p>An update is a pass over memory of its own; {@link TrainingStep} does it in the same pass as the step.
 */
public final class AveragedModel implements AutoCloseable {
    private static final String NAME = "AveragedModel";
    private static final String COUNT = "n_averaged";
    private static final String PREFIX = "module.";

    /** One place in the model, by any of the names that it has. */
    private record Member(String name, Tensor model, Tensor average, boolean averaged) {
        TensorEntry entry(long id) {
            return new TensorEntry(name, average, model, List.of(), id);
        }
    }

    private final Engine engine;
    private final Averaging averaging;
    private final Memory memory;
    private final Map<String, Member> members = new LinkedHashMap<>();
    private final Map<Parameter, Tensor> averages = new IdentityHashMap<>();
    /** Of what is averaged, and of what is copied; integers are copied one by one. */
    private final @Nullable Table averaged;
    private final @Nullable Table copied;
    private final List<Member> integers;
    private final Rows rows = new Rows(1);
    private final Map<DType, Tensor> scratch = new HashMap<>();
    /** What is averaged and does not ride along with a step. */
    private @Nullable Table rest;
    private boolean riding;
    /** Of the step that the last update rode along with, if that is not counted yet. */
    private Control.@Nullable Outcome rode;
    private Stream stream = Stream.DEFAULT;
    private long count;
    private boolean swapped;

    /** The average of parameters. */
    public AveragedModel(Engine engine, List<Parameter> parameters, Averaging averaging) {
        this(engine, parameters, Map.of(), averaging, false);
    }

    /**
     * The average of parameters and buffers.
     *
     * @param buffers by name
     * @param useBuffers whether these are averaged, too, instead of copied
     */
    public AveragedModel(Engine engine, List<Parameter> parameters, Map<String, Tensor> buffers, Averaging averaging, boolean useBuffers) {
        this.engine = engine;
        this.averaging = averaging;
        this.memory = engine.memory();
        try {
            Map<Object, Member> places = new HashMap<>();
            for (int i = 0; i < parameters.size(); i++) {
                Parameter parameter = parameters.get(i);
                String name = parameter.name() == null ? "" + i : parameter.name();
                Member member = places.computeIfAbsent(Place.key(parameter), place -> member(name, parameter.value(), true));
                add(name, member);
                averages.put(parameter, member.average);
            }
            buffers.forEach((name, buffer) -> add(name, member(name, buffer, useBuffers && buffer.dtype().isFloatingPoint())));
            List<Member> distinct = distinct();
            averaged = table(distinct.stream().filter(Member::averaged).toList());
            copied = table(distinct.stream().filter(member -> !member.averaged && member.model.dtype().isFloatingPoint()).toList());
            integers = distinct.stream().filter(member -> !member.model.dtype().isFloatingPoint()).toList();
        } catch (RuntimeException | Error refused) {
            memory.close();
            throw refused;
        }
    }

    private List<Member> distinct() {
        return members.values().stream().distinct().toList();
    }

    private Member member(String name, Tensor model, boolean isAveraged) {
        if (!model.device().equals(engine.device())) {
            throw refusal("'" + name + "' lies on " + model.device() + ", but the " + engine.name() + " engine works on " + engine.device());
        }
        Tensor average = memory.zerosLike(model);
        engine.copy(model, average, stream);
        return new Member(name, model, average, isAveraged);
    }

    private void add(String name, Member member) {
        if (members.putIfAbsent(name, member) != null) {
            throw refusal("'" + name + "' is the name of two tensors: names must differ");
        }
    }

    private @Nullable Table table(List<Member> of) {
        if (of.isEmpty()) {
            return null;
        }
        List<TensorEntry> entries = new ArrayList<>();
        of.forEach(member -> entries.add(member.entry(entries.size())));
        Table table = engine.table(Rule.AVERAGING, entries);
        table.classes(new int[entries.size()]);
        return table;
    }

    /** Takes the model as it is now into the average. */
    public void updateParameters() {
        checkOwn("updateParameters");
        average(averaged);
        finish();
    }

    private void average(@Nullable Table table) {
        if (table == null) {
            return;
        }
        if (count == 0) {
            engine.map(table, MapOperation.cast(Column.VALUE, Column.GRADIENT), stream);
        } else if (averaging.interpolates()) {
            engine.map(table, MapOperation.lerp(Column.VALUE, Column.GRADIENT, averaging.weight(count)), stream);
        } else {
            rows.set(0, AveragingRow.DECAY, averaging.decay()).set(0, AveragingRow.WEIGHT, averaging.weight(count));
            rows.set(0, AveragingRow.COUNT, count + 1);
            rows.flags(0, Rows.flag(AveragingRow.EQUAL, averaging.isEqual()));
            engine.step(table, rows, null, Extras.NONE, stream);
        }
    }

    /** Copies what is not averaged, and counts. */
    private void finish() {
        if (copied != null) {
            engine.map(copied, MapOperation.cast(Column.VALUE, Column.GRADIENT), stream);
        }
        for (int i = 0; i < integers.size(); i++) {
            engine.copy(integers.get(i).model, integers.get(i).average, stream);
        }
        count++;
    }

    /** How many models have been averaged. */
    public long nAveraged() {
        settle();
        return count;
    }

    /** Counts the last update that rode along, unless the step was skipped: that waits for the device. */
    private void settle() {
        if (rode != null) {
            boolean skipped = rode.skipped();
            rode = null;
            if (!skipped) {
                count++;
            }
        }
    }

    /** The average of a parameter; while they are {@linkplain #swap swapped} the parameter's own value. */
    public Tensor average(Parameter parameter) {
        Tensor average = averages.get(parameter);
        if (average == null) {
            throw refusal(parameter + " is not one of this model's");
        }
        return average;
    }

    /** The average, or copy, of a buffer, or of a parameter by its name. */
    public Tensor average(String name) {
        if (!members.containsKey(name)) {
            throw refusal("'" + name + "' is not one of this model's: there are " + members.keySet());
        }
        return members.get(name).average;
    }

    /**
     * Exchanges the model's parameters and buffers with their averages, to evaluate it, and at the next call back. In between the average
     * is not updated, and no step should be taken. The first call allocates as much memory as the largest tensor has.
     */
    public void swap() {
        for (Member member : distinct()) {
            Tensor room = scratch(member.model);
            engine.copy(member.model, room, stream);
            engine.copy(member.average, member.model, stream);
            engine.copy(room, member.average, stream);
        }
        swapped = !swapped;
    }

    /** Whether the model's tensors hold the averages. */
    public boolean isSwapped() {
        return swapped;
    }

    private Tensor scratch(Tensor like) {
        return scratch.computeIfAbsent(like.dtype(), dtype -> memory.zeros(dtype, members.values().stream()
                .filter(member -> member.model.dtype() == dtype).mapToLong(member -> member.model.elements()).max().orElseThrow()))
                .part(0, like);
    }

    /** torch's {@code state_dict}: {@code n_averaged}, and under {@code module.<name>} every average, not copied: they change with updates. */
    public Map<String, Object> stateDict() {
        checkOwn("stateDict");
        Map<String, Object> dict = new LinkedHashMap<>();
        dict.put(COUNT, count);
        members.forEach((name, member) -> dict.put(PREFIX + name, member.average));
        return dict;
    }

    /**
     * Goes on from what {@link #stateDict} returned, or torch's; tensors are copied.
     *
     * @throws PanoptimException when something is missing, unknown, or of another shape or type; nothing is written then
     */
    public void loadStateDict(Map<String, ?> stateDict) {
        checkOwn("loadStateDict");
        Set<String> expected = members.keySet().stream().map(PREFIX::concat).collect(Collectors.toSet());
        expected.add(COUNT);
        for (String key : expected) {
            if (stateDict.get(key) == null) {
                throw refusal("Missing key(s) in state_dict: \"" + key + "\".");
            }
        }
        stateDict.keySet().stream().filter(key -> !expected.contains(key)).findFirst().ifPresent(key -> {
            throw refusal("Unexpected key(s) in state_dict: \"" + key + "\".");
        });
        long newCount = number(stateDict.get(COUNT));
        members.forEach((name, member) -> checkLoaded(PREFIX + name, stateDict.get(PREFIX + name), member.average));
        members.forEach((name, member) -> engine.copy((Tensor) stateDict.get(PREFIX + name), member.average, stream));
        count = newCount;
    }

    private static long number(Object saved) {
        if (saved instanceof Tensor tensor && tensor.elements() == 1) {
            return (long) tensor.get(0);
        }
        if (saved instanceof Number number) {
            return number.longValue();
        }
        throw refusal("the state dict's '" + COUNT + "' is " + saved + ": expected a number");
    }

    private static void checkLoaded(String key, Object saved, Tensor average) {
        if (!(saved instanceof Tensor tensor) || tensor.dtype() != average.dtype() || !tensor.sameLayout(average)) {
            throw refusal("size mismatch for " + key + ": copying " + saved + " from checkpoint, the average is " + average + " with strides "
                    + Arrays.toString(average.strides()) + ": type, shape and layout must be equal");
        }
        tensor.checkAccessible(NAME, key);
    }

    /** The stream on which updates are ordered: that of the optimizers, if it is not the default. */
    public void stream(Stream ordered) {
        stream = ordered;
    }

    Engine engine() {
        return engine;
    }

    /** The averages that can ride along with steps of parameters; the rest of what is averaged is updated by {@link #rode}. */
    Map<Parameter, Tensor> ride(Set<Parameter> stepped) {
        if (riding) {
            throw refusal("this average is updated by another step already: close that one first");
        }
        Map<Parameter, Tensor> along = new IdentityHashMap<>();
        averages.forEach((parameter, average) -> {
            if (stepped.contains(parameter)) {
                along.put(parameter, average);
            }
        });
        rest = table(distinct().stream().filter(member -> member.averaged && !along.containsValue(member.average)).toList());
        riding = true;
        return along;
    }

    /** Ends that. */
    void alight() {
        if (rest != null) {
            rest.close();
            rest = null;
        }
        riding = false;
    }

    /** Whether the next update may ride along: it interpolates. */
    boolean canRide() {
        checkOwn("step");
        return count > 0 && averaging.interpolates();
    }

    /** Refuses an update that cannot be: while the averages are in the model, or with a weight that is none. */
    void checkUpdatable() {
        checkOwn("step");
        if (count > 0) { // the first one copies
            weight();
        }
    }

    /** The weight of the model in the next update. */
    double weight() {
        return averaging.weight(count);
    }

    /** Completes an update that rode along with a step. Where all of it did, nothing waits for what becomes of the step. */
    void rode(Control.Outcome step) {
        if (!step.isKnown() && rest == null && copied == null && integers.isEmpty()) {
            rode = step;
        } else if (!step.skipped()) {
            average(rest);
            finish();
        }
    }

    private void checkOwn(String call) {
        settle();
        if (swapped) {
            throw PanoptimException.invalid(NAME + "." + call, "the model's tensors hold the averages: call swap() first");
        }
    }

    private static PanoptimException refusal(String message) {
        return PanoptimException.invalid(NAME, message);
    }

    /** Frees the averages; the model is not touched, also if it holds them. */
    @Override
    public void close() {
        for (Table table : Arrays.asList(averaged, copied, rest)) {
            if (table != null) {
                table.close();
            }
        }
        memory.close();
    }
}
