package io.panoptim.optim.matrix;

import io.panoptim.engine.Column;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MuonDirectionRow;
import io.panoptim.engine.MuonUpdateRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.linalg.NewtonSchulz;
import io.panoptim.linalg.NewtonSchulz.Quintic;
import io.panoptim.optim.MatrixOptimizer.Matrix;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** What {@link Muon} and its variants do with the matrices that have a gradient: they stay the same until it is built anew. */
final class MuonStep implements AutoCloseable {
    static final String MOMENTUM_BUFFER = "momentum_buffer";

    /** What the optimizers that go along orthogonalized matrices differ in. */
    interface Variant {
        double momentum(ParamGroup group);

        boolean nesterov(ParamGroup group);

        double eps(ParamGroup group);

        /** Whether eps is added to the norm, or else is the least one. */
        boolean addsEps();

        /** The polynomials. */
        List<Quintic> quintics(ParamGroup group);

        /** What the parameters are multiplied with. */
        double decay(ParamGroup group, boolean missing);

        /** The learning rate for matrices of a shape. */
        double lr(ParamGroup group, double rows, double columns);

        /** The rule by which parameters, the values, go along orthogonalized matrices, the gradients. */
        default Rule update() {
            return Rule.MUON_UPDATE;
        }

        /** The states that it has. */
        default List<Tensor> updateStates(Matrix matrix) {
            return List.of();
        }

        /** Fills in its row. */
        default void fill(Rows rows, int row, ParamGroup group, double decay, double stepSize) {
            rows.set(row, MuonUpdateRow.DECAY, decay).set(row, MuonUpdateRow.STEP_SIZE, stepSize);
        }
    }

    /** What has the same scalars: the shape is the parameter's. */
    private record Kind(ParamGroup group, boolean missing, long rows, long columns) {}

    /** What goes through the products together: the shape is that in memory. */
    private record Shape(ParamGroup group, DType type, long rows, long columns) {
        /** Operations of one product for one matrix. */
        double operations() {
            return 2.0 * Math.min(rows, columns) * rows * columns;
        }

        /** Whether matrices of this shape may have zero rows appended, so as to have another one. */
        boolean fits(Shape larger, int count) {
            return group == larger.group && type == larger.type && columns == larger.columns && rows <= larger.rows
                    && larger.rows <= rows * (1 + MOST_PADDING)
                    && count * (larger.operations() - operations()) <= LAUNCH_OPERATIONS;
        }
    }

    /** More rows than this, relatively, are not appended. */
    private static final double MOST_PADDING = 0.12;
    /** What a GPU multiplies in float32 in the some microseconds that one more launch takes. */
    private static final double LAUNCH_OPERATIONS = 1e8;

    /** Matrices that share a group, and so options, and a shape, as numbered among those that step. */
    private static final class Batch {
        final Shape shape;
        final List<Integer> members = new ArrayList<>();
        /** One matrix after the other, each with as many rows as the shape: zeros behind its own, which stay zeros in all products. */
        Tensor x;
        Tensor y;
        NewtonSchulz newtonSchulz;
        boolean inY;

        Batch(Shape shape) {
            this.shape = shape;
        }

        long each() {
            return shape.rows * shape.columns;
        }
    }

    private final Engine engine;
    private final Variant variant;
    private final Supplier<Stream> stream;
    private final Supplier<DType> products;
    private final List<Batch> batches = new ArrayList<>();
    private List<Matrix> matrices = List.of();
    /** One matrix of each kind. */
    private List<Matrix> kinds = List.of();
    private @Nullable Memory memory;
    private long bytes;
    private @Nullable Table directions;
    private @Nullable Table updates;
    private Rows directionRows = new Rows(1);
    private Rows updateRows = new Rows(1);

    /**
     * @param products the type of the products for matrices that are computed with in float32
     */
    MuonStep(Engine engine, Variant variant, Supplier<Stream> stream, Supplier<DType> products) {
        this.engine = engine;
        this.variant = variant;
        this.stream = stream;
        this.products = products;
    }

    /** Makes the tables and plans for some matrices. */
    void build(List<Matrix> stepping) {
        matrices = stepping;
        memory = engine.memory();
        Map<Kind, Integer> byKind = new LinkedHashMap<>();
        Map<Shape, Batch> byShape = new LinkedHashMap<>();
        List<Integer> classes = new ArrayList<>();
        kinds = new ArrayList<>();
        for (int i = 0; i < stepping.size(); i++) {
            Matrix matrix = stepping.get(i);
            Kind kind = new Kind(matrix.group(), matrix.isMissing(), matrix.rows(), matrix.columns());
            if (!byKind.containsKey(kind)) {
                byKind.put(kind, kinds.size());
                kinds.add(matrix);
            }
            classes.add(byKind.get(kind));
            byShape.computeIfAbsent(new Shape(matrix.group(), type(matrix), matrix.memoryRows(), matrix.memoryColumns()), Batch::new)
                    .members.add(i);
        }
        batches.addAll(engine.productBatch(1) == Long.MAX_VALUE ? joined(byShape.values()) : byShape.values());
        Map<DType, Tensor> scratch = new HashMap<>();
        for (DType type : List.of(products.get(), DType.FLOAT64)) {
            long most = batches.stream().filter(batch -> batch.shape.type == type).mapToLong(batch ->
                    NewtonSchulz.scratchElements(engine, type, batch.members.size(), batch.shape.rows, batch.shape.columns)).max().orElse(0);
            scratch.put(type, zeros(type, most));
        }
        Tensor[] inX = new Tensor[stepping.size()];
        List<TensorEntry> paddings = new ArrayList<>();
        for (Batch batch : batches) {
            DType type = batch.shape.type;
            batch.x = zeros(type, batch.members.size() * batch.each());
            batch.y = zeros(type, batch.members.size() * batch.each());
            batch.newtonSchulz = new NewtonSchulz(engine, matrices(batch, batch.x), matrices(batch, batch.y), scratch.get(type));
            for (int i = 0; i < batch.members.size(); i++) {
                Matrix matrix = stepping.get(batch.members.get(i));
                long own = matrix.tensor().elements();
                inX[batch.members.get(i)] = batch.x.part(i * batch.each(), matrix.tensor());
                if (own < batch.each()) {
                    paddings.add(padding(matrix, batch.x.slice(i * batch.each() + own, batch.each() - own)));
                }
            }
        }
        List<TensorEntry> directionEntries = new ArrayList<>();
        List<TensorEntry> updateEntries = new ArrayList<>();
        for (int i = 0; i < stepping.size(); i++) {
            Matrix matrix = stepping.get(i);
            directionEntries.add(new TensorEntry(matrix.name(), matrix.state(MOMENTUM_BUFFER), matrix.gradient(),
                    List.of(inX[i]), matrix.id()));
            updateEntries.add(new TensorEntry(matrix.name(), matrix.tensor(), inX[i], variant.updateStates(matrix), matrix.id(),
                    matrix.memoryRows()));
        }
        updates = engine.table(variant.update(), updateEntries);
        updates.classes(classes.stream().mapToInt(Integer::intValue).toArray());
        directionEntries.addAll(paddings);
        classes.addAll(Collections.nCopies(paddings.size(), kinds.size()));
        directions = engine.table(Rule.MUON_DIRECTION, directionEntries);
        directions.classes(classes.stream().mapToInt(Integer::intValue).toArray());
        directionRows = new Rows(kinds.size() + 1).set(kinds.size(), MuonDirectionRow.EPS, 1); // the last one for zeros
        updateRows = new Rows(Math.max(1, kinds.size()));
        prepare();
    }

    private Tensor zeros(DType type, long elements) {
        Tensor zeros = Objects.requireNonNull(memory).zeros(type, elements);
        bytes += zeros.bytes();
        return zeros;
    }

    /** Where launches are what takes time: shapes that differ by some rows in one batch. */
    private static List<Batch> joined(Collection<Batch> batches) {
        List<Batch> joined = new ArrayList<>();
        for (Batch batch : batches.stream().sorted(Comparator.comparingLong((Batch each) -> each.shape.rows).reversed()).toList()) {
            joined.stream().filter(larger -> batch.shape.fits(larger.shape, batch.members.size())).findFirst()
                    .ifPresentOrElse(larger -> larger.members.addAll(batch.members), () -> joined.add(batch));
        }
        return joined;
    }

    /** Zeros that each step writes anew, since what is not finite in a matrix spreads over the rows behind it. */
    private TensorEntry padding(Matrix matrix, Tensor inX) {
        DType type = matrix.tensor().dtype();
        return new TensorEntry("rows behind " + matrix.name(), zeros(type, inX.elements()), zeros(type, inX.elements()), List.of(inX),
                -1 - matrix.id());
    }

    /** Of the products. */
    private DType type(Matrix matrix) {
        return matrix.tensor().dtype() == DType.FLOAT64 ? DType.FLOAT64 : products.get();
    }

    private static Matrices matrices(Batch batch, Tensor flat) {
        Shape shape = batch.shape;
        return Matrices.strided(flat, 0, batch.members.size(), shape.rows, shape.columns, shape.columns, batch.each());
    }

    /** Some gradients lie elsewhere. */
    void moved(Map<Integer, Tensor> gradients) {
        if (directions != null) {
            directions.point(Column.GRADIENT, gradients);
        }
    }

    /** Plans what the options say, if they have changed, and points the updates to where the results will be. */
    private void prepare() {
        Map<Integer, @Nullable Tensor> results = new HashMap<>();
        for (Batch batch : batches) {
            Tensor result = batch.newtonSchulz.prepare(variant.quintics(batch.shape.group)).tensors().getFirst();
            boolean inY = result == batch.y;
            if (inY != batch.inY) {
                for (int i = 0; i < batch.members.size(); i++) {
                    int member = batch.members.get(i);
                    results.put(member, result.part(i * batch.each(), matrices.get(member).tensor()));
                }
                batch.inY = inY;
            }
        }
        if (!results.isEmpty() && updates != null) {
            updates.point(Column.GRADIENT, results);
        }
    }

    void run() {
        if (directions == null || updates == null || batches.isEmpty()) {
            return;
        }
        prepare();
        for (int kind = 0; kind < kinds.size(); kind++) {
            Matrix like = kinds.get(kind);
            ParamGroup group = like.group();
            double momentum = variant.momentum(group);
            directionRows.set(kind, MuonDirectionRow.MOMENTUM_WEIGHT, 1 - momentum)
                    .set(kind, MuonDirectionRow.MOMENTUM, momentum)
                    .set(kind, MuonDirectionRow.EPS, variant.eps(group))
                    .flags(kind, Rows.flag(MuonDirectionRow.NESTEROV, variant.nesterov(group))
                            | Rows.flag(MuonDirectionRow.ADDS_EPS, variant.addsEps()));
            variant.fill(updateRows, kind, group, variant.decay(group, like.isMissing()), -variant.lr(group, like.rows(), like.columns()));
        }
        engine.step(directions, directionRows, null, Extras.NONE, stream.get());
        for (Batch batch : batches) {
            batch.newtonSchulz.run(variant.quintics(batch.shape.group), stream.get());
        }
        engine.step(updates, updateRows, null, Extras.NONE, stream.get());
    }

    /** Held for what has been built. */
    long bytes() {
        return bytes;
    }

    /** Frees it all; it can be built again. */
    @Override
    public void close() {
        for (Batch batch : batches) {
            if (batch.newtonSchulz != null) {
                batch.newtonSchulz.close();
            }
        }
        batches.clear();
        if (directions != null) {
            directions.close();
            directions = null;
        }
        if (updates != null) {
            updates.close();
            updates = null;
        }
        if (memory != null) {
            memory.close();
            memory = null;
        }
        bytes = 0;
    }
}
