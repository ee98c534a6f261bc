package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Column;
import io.panoptim.engine.Control;
import io.panoptim.engine.Engine;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Measurement;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.engine.UnitClipRow;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The dense gradients of some parameters, or of all that optimizers have and that are not frozen, for what is done to them outside a
 * step. They are looked up anew before each call: they may come, go and move. Tied parameters have one gradient; parameters without one
 * are left out; sparse ones are refused. {@code train.GradientClipper} and {@code train.GradScaler} are built on this.
 */
public final class GradientTables implements AutoCloseable {
    private static final class Entry extends Tied {
        final @Nullable ParamGroup group;
        final List<Tensor> states;
        int index;
        @Nullable Tensor gradient;

        Entry(String name, @Nullable ParamGroup group, List<Tensor> states) {
            super(name);
            this.group = group;
            this.states = states;
        }

        @Nullable Tensor gradient(String call) {
            if (group != null && group.isFrozen()) {
                return null;
            }
            if (sparseGradientNow(call) != null) {
                throw PanoptimException.unsupported(call, "'" + name + "' has a sparse gradient: these are not measured, clipped or "
                        + "unscaled; make it dense");
            }
            return gradientNow(call);
        }
    }

    /** What is multiplied at once, since it has one compute type; and measured at once, as in the optimizer's own step. */
    private static final class Part {
        final @Nullable Optimizer optimizer;
        final DType compute;
        final List<Entry> entries = new ArrayList<>();
        @Nullable Table table;

        Part(@Nullable Optimizer optimizer, DType compute) {
            this.optimizer = optimizer;
            this.compute = compute;
        }
    }

    private final Engine engine;
    private final String call;
    private final List<Optimizer> optimizers;
    private final Function<Tensor, List<Tensor>> states;
    private final Map<Object, Entry> byPlace = new LinkedHashMap<>();
    private final List<Part> parts = new ArrayList<>();
    private final List<Table> tables = new ArrayList<>();
    private final PairPass units;
    private Stream stream = Stream.DEFAULT;
    private int groups;
    /** {@link ParamGroup#gradientChanges} when all gradients were last looked up; -1 for never. */
    private long lookedUp = -1;

    private GradientTables(String call, Engine engine, List<Optimizer> optimizers, Function<Tensor, List<Tensor>> states) {
        this.call = call;
        this.engine = engine;
        this.optimizers = optimizers;
        this.states = states;
        this.units = new PairPass(engine, Rule.UNIT_CLIP, this::stream);
    }

    /**
     * Of some parameters.
     *
     * @param call for messages
     */
    public static GradientTables of(String call, Engine engine, List<Parameter> parameters) {
        return of(call, engine, parameters, value -> List.of());
    }

    /**
     * The same with states.
     *
     * @param states of a place in memory, from its value: {@link Column#STATE} and the columns after it
     */
    public static GradientTables of(String call, Engine engine, List<Parameter> parameters, Function<Tensor, List<Tensor>> states) {
        GradientTables tables = new GradientTables(call, engine, List.of(), states);
        for (int i = 0; i < parameters.size(); i++) {
            tables.add(parameters.get(i), null, null, "parameter " + i);
        }
        return tables;
    }

    /** Of the optimizers' groups, also those that are added later; on the first one's stream. */
    public static GradientTables of(String call, List<? extends Optimizer> optimizers) {
        if (optimizers.isEmpty()) {
            throw PanoptimException.invalid(call, "expected at least one optimizer");
        }
        Engine engine = optimizers.getFirst().engine();
        for (Optimizer optimizer : optimizers) {
            if (optimizer.engine() != engine) {
                throw PanoptimException.invalid(call, optimizer.name() + " is of the " + optimizer.engine().name() + " engine, and "
                        + optimizers.getFirst().name() + " of the " + engine.name() + " engine: expected one engine");
            }
        }
        return new GradientTables(call, engine, List.copyOf(optimizers), value -> List.of());
    }

    /** The stream on which everything is ordered, if these are parameters; optimizers have their own. */
    public void stream(Stream ordered) {
        stream = ordered;
    }

    private Stream stream() {
        return optimizers.isEmpty() ? stream : optimizers.getFirst().stream();
    }

    public Engine engine() {
        return engine;
    }

    /** The tables of all gradients there are now, each of one compute type. */
    public List<Table> tables() {
        synchronize();
        return tables;
    }

    /** Whether there is any gradient now. */
    public boolean isEmpty() {
        synchronize();
        return parts.stream().allMatch(part -> part.entries.stream().allMatch(entry -> entry.gradient == null));
    }

    /** Refuses gradients of a type. */
    public void refuse(DType dtype, String message) {
        synchronize();
        for (Part part : parts) {
            for (Entry entry : part.entries) {
                if (entry.gradient != null && entry.gradient.dtype() == dtype) {
                    throw PanoptimException.invalid(call, message + " ('" + entry.name + "')");
                }
            }
        }
    }

    /** Calls for each place that has a gradient now: with its parameters and states. */
    public void forEach(BiConsumer<List<Parameter>, List<Tensor>> action) {
        synchronize();
        parts.forEach(part -> part.entries.stream().filter(entry -> entry.gradient != null)
                .forEach(entry -> action.accept(entry.parameters, entry.states)));
    }

    /** All parameters, by place: those that are tied together. */
    public List<List<Parameter>> parameters() {
        addGroups();
        return byPlace.values().stream().map(entry -> entry.parameters).toList();
    }

    /** {@link Engine#measure} of all of them together. */
    public void measure(Measurement measurement, Control control) {
        engine.measure(tables(), measurement, control, stream());
    }

    /** {@link Engine#scaleGradients} of all of them. */
    public void scale(Measurement measurement, Control control) {
        tables().forEach(table -> engine.scaleGradients(table, measurement, control, stream()));
    }

    /** Multiplies all of them by the coefficient that follows from a norm. */
    public void clip(Measurement measurement, double norm) {
        synchronize();
        for (Part part : parts) {
            double coefficient = measurement.clip(Arithmetic.of(part.compute), norm);
            engine.map(part.table, MapOperation.scale(Column.GRADIENT, coefficient), stream());
        }
    }

    /** An operation on all of them. */
    public void map(MapOperation operation) {
        tables().forEach(table -> engine.map(table, operation, stream()));
    }

    /** Multiplies each whose norm is larger than {@code maxNorm} by what brings it there. */
    public void clipEach(double maxNorm) {
        clipUnits(false, (group, rows, row) -> rows.set(row, UnitClipRow.CLIPPING, maxNorm).flags(row, UnitClipRow.FIXED));
    }

    /** Multiplies the part of a gradient that belongs to a unit by what brings its norm to a part of the unit's. */
    public void clipAdaptively(double clipFactor, double eps) {
        clipUnits(true, (group, rows, row) -> rows.set(row, UnitClipRow.CLIPPING, clipFactor).set(row, UnitClipRow.EPS, eps).flags(row, 0));
    }

    private void clipUnits(boolean perRow, PairPass.RowOf row) {
        synchronize();
        List<PairPass.Pair> pairs = new ArrayList<>();
        for (Part part : parts) {
            for (Entry entry : part.entries) {
                if (entry.gradient != null) {
                    if (entry.parameters.getFirst().isSlice()) {
                        throw PanoptimException.unsupported(call, entry.parameters.getFirst() + " is a slice of a larger tensor, by whose norm it "
                                + "would be clipped");
                    }
                    long[] shape = entry.value().shape();
                    long rows = perRow && shape.length > 1 && entry.value().elements() > 0 ? shape[0] : 1;
                    pairs.add(new PairPass.Pair(entry.name, null, entry.gradient, entry.value(), rows));
                }
            }
        }
        units.run(pairs, row);
    }

    private void add(Parameter parameter, @Nullable Optimizer optimizer, @Nullable ParamGroup group, String otherwise) {
        if (!parameter.value().device().equals(engine.device())) {
            throw PanoptimException.invalid(call, parameter + " lies on " + parameter.value().device() + ", but the " + engine.name()
                    + " engine works on " + engine.device());
        }
        lookedUp = -1;
        Entry entry = byPlace.computeIfAbsent(Place.key(parameter), place -> {
            Entry made = new Entry(parameter.name() == null ? otherwise : parameter.name(), group,
                    states.apply(parameter.value()));
            Part part = part(optimizer, parameter.value().dtype().computeType());
            made.index = part.entries.size();
            part.entries.add(made);
            return made;
        });
        if (!entry.parameters.contains(parameter)) {
            entry.parameters.add(parameter);
        }
    }

    private Part part(@Nullable Optimizer optimizer, DType compute) {
        return parts.stream().filter(part -> part.optimizer == optimizer && part.compute == compute).findFirst().orElseGet(() -> {
            Part made = new Part(optimizer, compute);
            parts.add(made);
            return made;
        });
    }

    private void addGroups() {
        int now = 0;
        for (int i = 0; i < optimizers.size(); i++) {
            now += optimizers.get(i).paramGroups().size();
        }
        if (now == groups) {
            return;
        }
        for (Optimizer optimizer : optimizers) {
            List<ParamGroup> all = optimizer.paramGroups();
            for (int g = 0; g < all.size(); g++) {
                List<Parameter> parameters = all.get(g).params();
                for (int i = 0; i < parameters.size(); i++) {
                    add(parameters.get(i), optimizer, all.get(g), Tied.name(parameters.get(i), i, g));
                }
            }
        }
        groups = now;
    }

    private void synchronize() {
        addGroups();
        long changes = ParamGroup.gradientChanges(); // before the look-up: what changes meanwhile is looked up again
        if (changes != lookedUp) {
            lookedUp = -1;
            parts.forEach(this::synchronize);
            lookedUp = changes;
        }
    }

    private void synchronize(Part part) {
        Map<Integer, @Nullable Tensor> moved = Map.of();
        for (int i = 0; i < part.entries.size(); i++) {
            Tensor gradient = part.entries.get(i).gradient(call);
            if (gradient != part.entries.get(i).gradient) {
                moved = moved.isEmpty() ? new HashMap<>() : moved;
                moved.put(i, gradient);
            }
        }
        if (part.table == null || part.table.size() < part.entries.size()) {
            build(part);
        } else if (!moved.isEmpty()) {
            part.table.point(Column.GRADIENT, moved);
            moved.forEach((index, gradient) -> part.entries.get(index).gradient = gradient);
        }
    }

    private void build(Part part) {
        List<TensorEntry> topology = new ArrayList<>();
        for (Entry entry : part.entries) {
            topology.add(new TensorEntry(entry.name, entry.value(), entry.gradient(call), entry.states, Map.of(), entry.origin(), 0,
                    entry.value().elements(), entry.index, 1));
        }
        Table built = engine.table(topology);
        if (part.table != null) {
            tables.remove(part.table);
            part.table.close();
        }
        part.table = built;
        tables.add(built);
        for (int i = 0; i < topology.size(); i++) {
            part.entries.get(i).gradient = topology.get(i).gradient();
        }
    }

    /** Frees the tables; parameters and gradients are not touched. */
    @Override
    public void close() {
        tables.forEach(Table::close);
        tables.clear();
        parts.forEach(part -> part.table = null);
        lookedUp = -1;
        units.close();
    }
}
