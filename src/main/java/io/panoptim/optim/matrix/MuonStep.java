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
import io.panoptim.optim.Check;
import io.panoptim.optim.MatrixOptimizer.Matrix;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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

    /** What goes through the products together. */
    private record Shape(ParamGroup group, boolean missing, DType type, long rows, long columns) {}

    /** Matrices that share a group, and so options, and a shape, as numbered among those that step. */
    private static final class Batch {
        final ParamGroup group;
        final Matrix like;
        final List<Integer> members = new ArrayList<>();
        /** One matrix after the other. */
        Tensor x;
        Tensor y;
        NewtonSchulz newtonSchulz;
        boolean inY;

        Batch(Matrix like) {
            this.group = like.group();
            this.like = like;
        }
    }

    private final Engine engine;
    private final Variant variant;
    private final Supplier<Stream> stream;
    private final Supplier<DType> products;
    private final List<Batch> batches = new ArrayList<>();
    private List<Matrix> matrices = List.of();
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

    /** A type that products may have. */
    static DType checkProducts(String optimizer, DType type) {
        Check.check(type == DType.FLOAT32 || type == DType.BFLOAT16, optimizer, "products in " + type + ": expected float32 or bfloat16");
        return type;
    }

    /** Makes the tables and plans for some matrices. */
    void build(List<Matrix> stepping) {
        matrices = stepping;
        memory = engine.memory();
        Map<Shape, Batch> byShape = new LinkedHashMap<>();
        for (int i = 0; i < stepping.size(); i++) {
            Matrix matrix = stepping.get(i);
            DType type = type(matrix);
            byShape.computeIfAbsent(new Shape(matrix.group(), matrix.isMissing(), type, matrix.memoryRows(), matrix.memoryColumns()),
                    shape -> new Batch(matrix)).members.add(i);
        }
        batches.addAll(byShape.values());
        Map<DType, Tensor> scratch = new HashMap<>();
        for (DType type : List.of(products.get(), DType.FLOAT64)) {
            long most = batches.stream().filter(batch -> type(batch.like) == type).mapToLong(batch -> NewtonSchulz.scratchElements(engine, type,
                    batch.members.size(), batch.like.memoryRows(), batch.like.memoryColumns())).max().orElse(0);
            scratch.put(type, memory.zeros(type, most));
            bytes += most * type.bytes();
        }
        int[] classes = new int[stepping.size()];
        Tensor[] inX = new Tensor[stepping.size()];
        for (int b = 0; b < batches.size(); b++) {
            Batch batch = batches.get(b);
            long each = batch.like.tensor().elements();
            batch.x = memory.zeros(type(batch.like), batch.members.size() * each);
            batch.y = memory.zeros(type(batch.like), batch.members.size() * each);
            bytes += batch.x.bytes() + batch.y.bytes();
            batch.newtonSchulz = new NewtonSchulz(engine, matrices(batch, batch.x), matrices(batch, batch.y),
                    scratch.get(type(batch.like)));
            for (int i = 0; i < batch.members.size(); i++) {
                classes[batch.members.get(i)] = b;
                inX[batch.members.get(i)] = batch.x.part(i * each, stepping.get(batch.members.get(i)).tensor());
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
        directions = engine.table(Rule.MUON_DIRECTION, directionEntries);
        directions.classes(classes);
        updates = engine.table(variant.update(), updateEntries);
        updates.classes(classes);
        directionRows = new Rows(Math.max(1, batches.size()));
        updateRows = new Rows(Math.max(1, batches.size()));
        prepare();
    }

    /** Of the products. */
    private DType type(Matrix matrix) {
        return matrix.tensor().dtype() == DType.FLOAT64 ? DType.FLOAT64 : products.get();
    }

    private static Matrices matrices(Batch batch, Tensor flat) {
        long rows = batch.like.memoryRows();
        long columns = batch.like.memoryColumns();
        return Matrices.strided(flat, 0, batch.members.size(), rows, columns, columns, rows * columns);
    }

    /** Some gradients lie elsewhere. */
    void moved(Map<Integer, @Nullable Tensor> gradients) {
        if (directions != null) {
            directions.point(Column.GRADIENT, gradients);
        }
    }

    /** Plans what the options say, if they have changed, and points the updates to where the results will be. */
    private void prepare() {
        Map<Integer, @Nullable Tensor> results = new HashMap<>();
        for (Batch batch : batches) {
            Tensor result = batch.newtonSchulz.prepare(variant.quintics(batch.group)).tensors().getFirst();
            boolean inY = result == batch.y;
            if (inY != batch.inY) {
                long each = batch.like.tensor().elements();
                for (int i = 0; i < batch.members.size(); i++) {
                    int member = batch.members.get(i);
                    results.put(member, result.part(i * each, matrices.get(member).tensor()));
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
        for (int b = 0; b < batches.size(); b++) {
            ParamGroup group = batches.get(b).group;
            Matrix like = batches.get(b).like;
            double momentum = variant.momentum(group);
            directionRows.set(b, MuonDirectionRow.MOMENTUM_WEIGHT, 1 - momentum)
                    .set(b, MuonDirectionRow.MOMENTUM, momentum)
                    .set(b, MuonDirectionRow.EPS, variant.eps(group))
                    .flags(b, Rows.flag(MuonDirectionRow.NESTEROV, variant.nesterov(group))
                            | Rows.flag(MuonDirectionRow.ADDS_EPS, variant.addsEps()));
            variant.fill(updateRows, b, group, variant.decay(group, like.isMissing()), -variant.lr(group, like.rows(), like.columns()));
        }
        engine.step(directions, directionRows, null, Extras.NONE, stream.get());
        for (Batch batch : batches) {
            batch.newtonSchulz.run(variant.quintics(batch.group), stream.get());
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
