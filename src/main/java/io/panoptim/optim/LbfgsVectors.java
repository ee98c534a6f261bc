package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Column;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.SparseSgdRow;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * The vectors that {@link LBFGS} works with, each as long as all parameters together, and what it does with them. A vector is one flat
 * tensor; a column of a table has its parts, one for each parameter. One table has the parameters and the vectors there is one of; each
 * pair of the history has a table of its own, in which the vectors that it is combined with have the same numbers.
 */
final class LbfgsVectors implements AutoCloseable {
    /** The direction of the last iteration and, while it is computed, torch's q and r. */
    static final int DIRECTION = Column.STATE;
    /** The gradient before the last iteration. */
    static final int PREVIOUS = Column.STATE + 1;
    /** The parameters' gradients, gathered. */
    static final int GRADIENT = Column.STATE + 2;
    /** Those of other points of a line search. */
    private static final int SECOND_GRADIENT = Column.STATE + 3;
    private static final int THIRD_GRADIENT = Column.STATE + 4;
    /** The parameters where a line search starts. */
    private static final int START = Column.STATE + 5;
    private static final int SINGLE_VECTORS = 6;

    /** A parameter, and where its part of a vector begins. */
    private static final class Part extends Tied {
        final int id;
        final long first;
        @Nullable Tensor gradient;

        Part(String name, int id, long first) {
            super(name);
            this.id = id;
            this.first = first;
        }
    }

    /** By how much the gradient (y) and the parameters (s) changed in an iteration. */
    final class Pair {
        /** Columns of its table, besides the direction, the gradient and the previous one. */
        static final int Y = Column.VALUE;
        static final int S = Column.STATE + 3;

        private final Tensor y = memory.zeros(type, elements);
        private final Tensor s = memory.zeros(type, elements);
        private final Table table = engine.table(entries(part -> new TensorEntry(part.name, cut(y, part), null,
                List.of(cut(DIRECTION, part), cut(PREVIOUS, part), cut(GRADIENT, part), cut(s, part)), part.id)));
        private double ro;

        Tensor y() {
            return y;
        }

        Tensor s() {
            return s;
        }

        /** The inverse of their product. */
        double ro() {
            return ro;
        }

        double dot(int left, int right) {
            return reduce(table, Reduction.dot(left, right));
        }

        void addToDirection(double factor, int column) {
            map(table, MapOperation.axpy(DIRECTION, factor, column));
        }

        /** Sets both after a step of t along the direction. */
        private void set(double t) {
            map(table, MapOperation.cast(Y, GRADIENT));
            map(table, MapOperation.axpy(Y, -1, PREVIOUS));
            map(table, MapOperation.cast(S, DIRECTION));
            map(table, MapOperation.scale(S, t));
        }
    }

    private final Engine engine;
    private final Supplier<Stream> stream;
    private final Memory memory;
    private final List<Part> parts;
    private final DType type;
    private final long elements;
    private final List<Tensor> singles = new ArrayList<>();
    private final List<Pair> history = new ArrayList<>();
    /** Where the next pairs go. */
    private final List<Pair> spare = new ArrayList<>();
    private @Nullable Table table;
    /** For each gradient column one in which sparse gradients are added to it, by steps of length 1. */
    private final Map<Integer, Table> scattering = new HashMap<>();

    LbfgsVectors(Engine engine, Supplier<Stream> stream, List<Parameter> parameters) {
        this.stream = stream;
        Map<Place, Part> places = new LinkedHashMap<>();
        long end = 0;
        for (int i = 0; i < parameters.size(); i++) {
            Parameter parameter = parameters.get(i);
            if (parameter.value().elements() > 0) {
                Part part = places.get(Place.of(parameter.value()));
                if (part == null) {
                    part = new Part(Tied.name(parameter, i, 0), places.size(), end);
                    places.put(Place.of(parameter.value()), part);
                    end += parameter.value().elements();
                }
                part.parameters.add(parameter);
            }
        }
        this.engine = engine;
        this.parts = List.copyOf(places.values());
        this.elements = end;
        this.type = type(parameters);
        this.memory = engine.memory();
    }

    private static DType type(List<Parameter> parameters) {
        List<DType> types = parameters.stream().map(parameter -> parameter.value().dtype()).distinct().toList();
        if (types.size() > 1 && types.contains(DType.FLOAT64)) {
            throw PanoptimException.unsupported("LBFGS", "it has parameters of " + types + ": float64 goes with no other type");
        }
        return types.size() > 1 ? DType.FLOAT32 : types.getFirst();
    }

    /** The bytes of all vectors once the history is full. */
    long bytes(long historySize) {
        return elements * type.bytes() * (SINGLE_VECTORS + 2 * (historySize + 1));
    }

    /** The pairs, the oldest first. */
    List<Pair> history() {
        return Collections.unmodifiableList(history);
    }

    /** A whole vector. */
    Tensor flat(int column) {
        return singles.get(column - Column.STATE);
    }

    /**
     * Gets everything that a step needs, and refuses what cannot be used.
     *
     * @param pairs how long the history may become in it
     */
    void prepare(int pairs) {
        while (singles.size() < SINGLE_VECTORS) {
            singles.add(memory.zeros(type, elements));
        }
        while (history.size() + spare.size() < pairs + 1) { // one is computed before it is known whether it is kept
            spare.add(new Pair());
        }
        if (table == null) {
            table = engine.table(entries(part -> new TensorEntry(part.name, part.value(), null, List.of(cut(DIRECTION, part),
                    cut(PREVIOUS, part), cut(GRADIENT, part), cut(SECOND_GRADIENT, part), cut(THIRD_GRADIENT, part),
                    cut(START, part)), part.id)));
        }
        parts.forEach(part -> part.value().checkAccessible("LBFGS.step", "the value of '" + part.name + "'"));
    }

    private List<TensorEntry> entries(Function<Part, TensorEntry> entry) {
        return parts.stream().map(entry).toList();
    }

    private Tensor cut(int column, Part part) {
        return cut(flat(column), part);
    }

    private static Tensor cut(Tensor flat, Part part) {
        return flat.part(part.first, part.value());
    }

    /** Copies the parameters' gradients, or zeros where there is none, into one of the gradient columns. */
    void gather(int column) {
        Map<Integer, @Nullable Tensor> moved = new HashMap<>();
        List<RowGradient> sparse = new ArrayList<>();
        boolean all = true;
        for (Part part : parts) {
            Tensor gradient = part.gradientNow("LBFGS");
            SparseGradient rows = part.sparseGradientNow("LBFGS");
            all &= gradient != null;
            if (rows != null) {
                sparse.add(new RowGradient(part.id, 0, rows, false, false, null));
            }
            if (gradient != part.gradient) {
                moved.put(part.id, gradient);
            }
        }
        if (!moved.isEmpty()) {
            single().point(Column.GRADIENT, moved);
            parts.forEach(part -> part.gradient = part.gradientNow("LBFGS"));
        }
        if (!all) {
            map(single(), MapOperation.zero(column));
        }
        map(single(), MapOperation.cast(column, Column.GRADIENT));
        if (!sparse.isEmpty()) {
            Table table = scattering.computeIfAbsent(column, key -> engine.table(Rule.SGD, entries(part ->
                    new TensorEntry(part.name, cut(column, part), null, List.of(), part.id))));
            engine.stepRows(table, Rule.SPARSE_SGD, sparse, new Rows(1).set(0, SparseSgdRow.STEP_SIZE, 1), null, Extras.NONE,
                    stream.get());
        }
    }

    /** The gradient column that is neither of two. */
    static int freeGradient(int one, int other) {
        return one != GRADIENT && other != GRADIENT ? GRADIENT
                : one != SECOND_GRADIENT && other != SECOND_GRADIENT ? SECOND_GRADIENT : THIRD_GRADIENT;
    }

    /** Takes the gradient of another column. */
    void takeGradient(int column) {
        if (column != GRADIENT) {
            map(single(), MapOperation.cast(GRADIENT, column));
        }
    }

    /** Keeps the gradient for the next iteration. */
    void keepGradient() {
        map(single(), MapOperation.cast(PREVIOUS, GRADIENT));
    }

    /** Turns the direction against the gradient. */
    void turnDownhill() {
        map(single(), MapOperation.cast(DIRECTION, GRADIENT));
        scaleDirection(-1);
    }

    void scaleDirection(double factor) {
        map(single(), MapOperation.scale(DIRECTION, factor));
    }

    double absoluteSum(int column) {
        return reduce(single(), Reduction.norm(column, 1));
    }

    double absoluteMaximum(int column) {
        return reduce(single(), Reduction.absoluteMaximum(column));
    }

    /** The product of a gradient and the direction. */
    double slope(int column) {
        return reduce(single(), Reduction.dot(column, DIRECTION));
    }

    /** Marks where the parameters are. */
    void mark() {
        map(single(), MapOperation.cast(START, Column.VALUE));
    }

    /** Moves the parameters along the direction. */
    void move(double t) {
        map(single(), MapOperation.axpy(Column.VALUE, t, DIRECTION));
    }

    /** Moves the parameters back to the mark. */
    void moveBack() {
        map(single(), MapOperation.cast(Column.VALUE, START));
    }

    /** How long a vector is. */
    long elements() {
        return elements;
    }

    /** The pair that enters the history next. */
    Pair next() {
        return spare.getLast();
    }

    /** The pair of an iteration that went t along the direction; it is not in the history yet. */
    Pair change(double t) {
        Pair pair = next();
        pair.set(t);
        return pair;
    }

    /** Adds that pair to the history, from which the oldest ones fall. */
    void accept(double ro, int historySize) {
        Pair pair = spare.removeLast();
        pair.ro = ro;
        while (history.size() >= historySize) {
            spare.addFirst(history.removeFirst());
        }
        history.add(pair);
    }

    private Table single() {
        if (table == null) {
            throw new IllegalStateException("not prepared");
        }
        return table;
    }

    private void map(Table in, MapOperation operation) {
        engine.map(in, operation, stream.get());
    }

    private double reduce(Table in, Reduction reduction) {
        return engine.reduce(in, reduction, stream.get()).get();
    }

    @Override
    public void close() {
        if (table != null) {
            table.close();
        }
        scattering.values().forEach(Table::close);
        history.forEach(pair -> pair.table.close());
        spare.forEach(pair -> pair.table.close());
        memory.close();
    }
}
