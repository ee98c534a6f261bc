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
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * The dense gradients of some parameters, or of all that optimizers have and that are not frozen, for what is done to them outside a
 * step. They are looked up anew before each call: they may come, go and move. Tied parameters have one gradient; parameters without one
 * are left out; sparse ones are refused. {@code train.GradientClipper} and {@code train.GradScaler} are built on this.
 */
public final class GradientTables implements AutoCloseable {
    /** What may be in the way of multiplying all elements at once: a table has one compute type. */
    private static final List<DType> TYPES = List.of(DType.FLOAT32, DType.FLOAT64);

    private static final class Entry extends Tied {
        final @Nullable ParamGroup group;
        int index;
        @Nullable Tensor gradient;

        Entry(String name, @Nullable ParamGroup group) {
            super(name);
            this.group = group;
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

    private final Engine engine;
    private final String call;
    private final Supplier<Stream> stream;
    private final List<Optimizer> optimizers;
    private final Map<Object, Entry> byPlace = new LinkedHashMap<>();
    /** For each compute type what has it, and the table of it, or null. */
    private final List<List<Entry>> entries = List.of(new ArrayList<>(), new ArrayList<>());
    private final @Nullable Table[] byType = new Table[TYPES.size()];
    private final List<Table> tables = new ArrayList<>();
    private final PairPass units;
    private int groups;

    private GradientTables(String call, Engine engine, Supplier<Stream> stream, List<Optimizer> optimizers) {
        this.call = call;
        this.engine = engine;
        this.stream = stream;
        this.optimizers = optimizers;
        this.units = new PairPass(engine, Rule.UNIT_CLIP, stream);
    }

    /**
     * Of some parameters.
     *
     * @param call for messages
     */
    public static GradientTables of(String call, Engine engine, List<Parameter> parameters) {
        GradientTables tables = new GradientTables(call, engine, () -> Stream.DEFAULT, List.of());
        for (int i = 0; i < parameters.size(); i++) {
            tables.add(parameters.get(i), null, "parameter " + i);
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
        List<Optimizer> all = List.copyOf(optimizers);
        return new GradientTables(call, engine, all.getFirst()::stream, all);
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
        for (List<Entry> ofType : entries) {
            for (int i = 0; i < ofType.size(); i++) {
                if (ofType.get(i).gradient != null) {
                    return false;
                }
            }
        }
        return true;
    }

    /** Refuses gradients of a type. */
    public void refuse(DType dtype, String message) {
        synchronize();
        for (List<Entry> ofType : entries) {
            for (Entry entry : ofType) {
                if (entry.gradient != null && entry.gradient.dtype() == dtype) {
                    throw PanoptimException.invalid(call, message + " ('" + entry.name + "')");
                }
            }
        }
    }

    /** {@link Engine#measure} of all of them together. */
    public void measure(Measurement measurement, Control control) {
        engine.measure(tables(), measurement, control, stream.get());
    }

    /** {@link Engine#scaleGradients} of all of them. */
    public void scale(Measurement measurement, Control control) {
        tables().forEach(table -> engine.scaleGradients(table, measurement, control, stream.get()));
    }

    /** Multiplies all of them by the coefficient that follows from a norm. */
    public void clip(Measurement measurement, double norm) {
        synchronize();
        for (int type = 0; type < TYPES.size(); type++) {
            if (byType[type] != null) {
                double coefficient = measurement.clip(Arithmetic.of(TYPES.get(type)), norm);
                engine.map(byType[type], MapOperation.scale(Column.GRADIENT, coefficient), stream.get());
            }
        }
    }

    /** An operation on all of them. */
    public void map(MapOperation operation) {
        tables().forEach(table -> engine.map(table, operation, stream.get()));
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
        for (List<Entry> ofType : entries) {
            for (Entry entry : ofType) {
                if (entry.gradient != null) {
                    long[] shape = entry.value().shape();
                    long rows = perRow && shape.length > 1 && entry.value().elements() > 0 ? shape[0] : 1;
                    pairs.add(new PairPass.Pair(entry.name, null, entry.gradient, entry.value(), rows));
                }
            }
        }
        units.run(pairs, row);
    }

    private void add(Parameter parameter, @Nullable ParamGroup group, String otherwise) {
        if (!parameter.value().device().equals(engine.device())) {
            throw PanoptimException.invalid(call, parameter + " lies on " + parameter.value().device() + ", but the " + engine.name()
                    + " engine works on " + engine.device());
        }
        Entry entry = byPlace.computeIfAbsent(Place.key(parameter), place -> {
            Entry made = new Entry(parameter.name() == null ? otherwise : parameter.name(), group);
            List<Entry> ofType = entries.get(TYPES.indexOf(parameter.value().dtype().computeType()));
            made.index = ofType.size();
            ofType.add(made);
            return made;
        });
        if (!entry.parameters.contains(parameter)) {
            entry.parameters.add(parameter);
        }
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
                    add(parameters.get(i), all.get(g), Tied.name(parameters.get(i), i, g));
                }
            }
        }
        groups = now;
    }

    private void synchronize() {
        addGroups();
        for (int type = 0; type < TYPES.size(); type++) {
            synchronize(type);
        }
    }

    private void synchronize(int type) {
        List<Entry> ofType = entries.get(type);
        Map<Integer, @Nullable Tensor> moved = Map.of();
        for (int i = 0; i < ofType.size(); i++) {
            Tensor gradient = ofType.get(i).gradient(call);
            if (gradient != ofType.get(i).gradient) {
                moved = moved.isEmpty() ? new HashMap<>() : moved;
                moved.put(i, gradient);
            }
        }
        Table table = byType[type];
        if (table == null || table.size() < ofType.size()) {
            build(type, ofType);
        } else if (!moved.isEmpty()) {
            table.point(Column.GRADIENT, moved);
            moved.forEach((index, gradient) -> ofType.get(index).gradient = gradient);
        }
    }

    private void build(int type, List<Entry> ofType) {
        if (ofType.isEmpty()) {
            return;
        }
        List<TensorEntry> topology = new ArrayList<>();
        for (Entry entry : ofType) {
            topology.add(new TensorEntry(entry.name, entry.value(), entry.gradient(call), List.of(), entry.index));
        }
        Table built = engine.table(topology);
        if (byType[type] != null) {
            tables.remove(byType[type]);
            byType[type].close();
        }
        byType[type] = built;
        tables.add(built);
        for (int i = 0; i < ofType.size(); i++) {
            ofType.get(i).gradient = topology.get(i).gradient();
        }
    }

    /** Frees the tables; parameters and gradients are not touched. */
    @Override
    public void close() {
        tables.forEach(Table::close);
        tables.clear();
        Arrays.fill(byType, null);
        units.close();
    }
}
