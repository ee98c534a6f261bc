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
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** What {@link Muon} does with the matrices that have a gradient: they stay the same until it is built anew. */
final class MuonStep implements AutoCloseable {
    static final String MOMENTUM_BUFFER = "momentum_buffer";

    private static final int LR = Muon.SCHEMA.index("lr");
    private static final int WEIGHT_DECAY = Muon.SCHEMA.index("weight_decay");
    private static final int MOMENTUM = Muon.SCHEMA.index("momentum");
    private static final int NESTEROV = Muon.SCHEMA.index("nesterov");
    private static final int NS_COEFFICIENTS = Muon.SCHEMA.index("ns_coefficients");
    private static final int EPS = Muon.SCHEMA.index("eps");
    private static final int NS_STEPS = Muon.SCHEMA.index("ns_steps");
    private static final int ADJUST_LR_FN = Muon.SCHEMA.index("adjust_lr_fn");

    /** What goes through the products together. */
    private record Shape(ParamGroup group, DType type, long rows, long columns) {}

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
        double[] coefficients = {};
        List<Quintic> quintics = List.of();

        Batch(Matrix like) {
            this.group = like.group();
            this.like = like;
        }

        /** The polynomials that the group's options say. */
        List<Quintic> quintics() {
            double[] now = {group.value(NS_COEFFICIENTS), group.value(NS_COEFFICIENTS + 1), group.value(NS_COEFFICIENTS + 2),
                group.value(NS_STEPS)};
            if (!Arrays.equals(now, coefficients)) {
                quintics = NewtonSchulz.repeated(new Quintic(now[0], now[1], now[2]), (int) now[3]);
                coefficients = now;
            }
            return quintics;
        }
    }

    private final Engine engine;
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
    MuonStep(Engine engine, Supplier<Stream> stream, Supplier<DType> products) {
        this.engine = engine;
        this.stream = stream;
        this.products = products;
    }

    /** Makes the tables and plans for some matrices. */
    void build(List<Matrix> stepping) {
        matrices = stepping;
        memory = engine.memory();
        Map<Shape, Batch> byShape = new LinkedHashMap<>();
        for (int i = 0; i < stepping.size(); i++) {
            Matrix matrix = stepping.get(i);
            DType type = type(matrix);
            byShape.computeIfAbsent(new Shape(matrix.group(), type, matrix.memoryRows(), matrix.memoryColumns()),
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
            updateEntries.add(new TensorEntry(matrix.name(), matrix.tensor(), inX[i], List.of(), matrix.id()));
        }
        directions = engine.table(Rule.MUON_DIRECTION, directionEntries);
        directions.classes(classes);
        updates = engine.table(Rule.MUON_UPDATE, updateEntries);
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
            Tensor result = batch.newtonSchulz.prepare(batch.quintics()).tensors().getFirst();
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
            double lr = group.value(LR);
            directionRows.set(b, MuonDirectionRow.MOMENTUM_WEIGHT, 1 - group.value(MOMENTUM))
                    .set(b, MuonDirectionRow.MOMENTUM, group.value(MOMENTUM))
                    .set(b, MuonDirectionRow.EPS, group.value(EPS))
                    .flags(b, Rows.flag(MuonDirectionRow.NESTEROV, group.value(NESTEROV) != 0));
            updateRows.set(b, MuonUpdateRow.DECAY, 1 - lr * group.value(WEIGHT_DECAY))
                    .set(b, MuonUpdateRow.STEP_SIZE, -(lr * ratio(batches.get(b))));
        }
        engine.step(directions, directionRows, null, Extras.NONE, stream.get());
        for (Batch batch : batches) {
            batch.newtonSchulz.run(batch.quintics(), stream.get());
        }
        engine.step(updates, updateRows, null, Extras.NONE, stream.get());
    }

    /** torch's {@code _adjust_lr}. */
    private static double ratio(Batch batch) {
        double rows = batch.like.rows();
        double columns = batch.like.columns();
        return batch.group.value(ADJUST_LR_FN) == Muon.AdjustLr.MATCH_RMS_ADAMW.ordinal() ? 0.2 * Math.sqrt(Math.max(rows, columns))
                : Math.sqrt(Math.max(1, rows / columns));
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
