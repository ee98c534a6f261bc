package io.panoptim.optim.matrix;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Column;
import io.panoptim.engine.Decomposition;
import io.panoptim.engine.DionFactorRow;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.linalg.CholeskyQR;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.TensorOptimizer.Target;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** What {@link Dion} does with the matrices that have a gradient: they stay the same until it is built anew. */
final class DionStep implements AutoCloseable {
    private static final int LR = Dion.SCHEMA.index("lr");
    private static final int MU = Dion.SCHEMA.index("mu");
    private static final int WEIGHT_DECAY = Dion.SCHEMA.index("weight_decay");
    private static final int EPSILON = Dion.SCHEMA.index("epsilon");
    private static final int POWER_ITERS = Dion.SCHEMA.index("power_iters");
    private static final int QR_METHOD = Dion.SCHEMA.index("qr_method");

    /** What goes through the products together: rows and columns are those in memory, wide if B is that transposed. */
    private record Kind(ParamGroup group, DType type, long rows, long columns, boolean wide, long rank, double ratio) {
        static Kind of(Target target) {
            Tensor value = target.tensor();
            long rows = value.shape()[0];
            long columns = Dion.columns(value);
            boolean turned = !value.isRowMajor();
            return new Kind(target.group(), value.dtype(), turned ? columns : rows, turned ? rows : columns, turned != rows < columns,
                    target.state(Dion.Q).shape()[1], (double) rows / columns);
        }

        long longer() {
            return wide ? columns : rows;
        }

        long shorter() {
            return wide ? rows : columns;
        }
    }

    /** Matrices that share a group, and so options, and a shape. */
    private final class Batch {
        final Kind kind;
        final List<Target> members = new ArrayList<>();
        private final List<MatrixProduct.Plan> plans = new ArrayList<>();
        /** P of one member after the other, and the same in the parameters' type. */
        Tensor left;
        Tensor roundedLeft;
        /** R transposed, and what of Q the parameters go along, transposed, in their type. */
        Tensor projected;
        Tensor right;
        private Matrices lefts;
        private MatrixProduct.Plan multiply;
        private MatrixProduct.Plan multiplyAgain;
        private MatrixProduct.Plan project;
        private MatrixProduct.Plan takeAway;
        private MatrixProduct.Plan update;
        /** Where the products with the momenta are in another type: to and from it. */
        private @Nullable Table lowerMomenta;
        private @Nullable Table raiseLeft;
        private @Nullable Table lowerLeft;
        private @Nullable Table raiseProjected;
        private @Nullable CholeskyQR cholesky;

        Batch(Kind kind) {
            this.kind = kind;
        }

        void build(Memory memory) {
            DType type = kind.type.computeType();
            DType ofProducts = type == DType.FLOAT32 ? products.get() : type;
            long count = members.size();
            left = memory.zeros(type, count * kind.longer() * kind.rank);
            projected = memory.zeros(type, count * kind.rank * kind.shorter());
            right = memory.zeros(kind.type, count * kind.rank * kind.shorter());
            roundedLeft = type == kind.type ? left : memory.zeros(kind.type, left.elements());
            lefts = lefts(left);
            Matrices values = each(Target::tensor, kind.rows, kind.columns);
            Matrices momenta = each(target -> target.state(Dion.MOMENTUM), kind.rows, kind.columns);
            takeAway = outer(lefts, rights(projected), momenta);
            update = outer(lefts(roundedLeft), rights(right), values);
            if (ofProducts == type) {
                iterate(momenta, each(target -> target.state(Dion.Q), kind.rank, kind.shorter()), lefts, rights(projected));
            } else {
                Tensor lowMomenta = memory.zeros(ofProducts, count * kind.rows * kind.columns);
                Tensor lowFactors = memory.zeros(ofProducts, projected.elements());
                Tensor lowLeft = memory.zeros(ofProducts, left.elements());
                Tensor lowProjected = memory.zeros(ofProducts, projected.elements());
                List<TensorEntry> entries = new ArrayList<>();
                for (int i = 0; i < count; i++) {
                    Tensor momentum = members.get(i).state(Dion.MOMENTUM);
                    Tensor q = members.get(i).state(Dion.Q);
                    entries.add(conversion(lowMomenta.part(i * momentum.elements(), momentum), momentum, 2 * i));
                    entries.add(conversion(lowFactors.part(i * q.elements(), q), q, 2 * i + 1));
                }
                lowerMomenta = engine.table(entries);
                raiseLeft = engine.table(List.of(conversion(left, lowLeft, 0)));
                lowerLeft = engine.table(List.of(conversion(lowLeft, left, 0)));
                raiseProjected = engine.table(List.of(conversion(projected, lowProjected, 0)));
                iterate(Matrices.strided(lowMomenta, 0, count, kind.rows, kind.columns, kind.columns, kind.rows * kind.columns),
                        rights(lowFactors), lefts(lowLeft), rights(lowProjected));
            }
        }

        /** Plans the products of a power iteration. */
        private void iterate(Matrices momenta, Matrices factors, Matrices ofLeft, Matrices ofRight) {
            multiply = plan(MatrixProduct.of(momenta, kind.wide, factors, true, ofLeft));
            multiplyAgain = plan(MatrixProduct.of(momenta, kind.wide, ofRight, true, ofLeft));
            project = plan(MatrixProduct.of(ofLeft, true, momenta, kind.wide, ofRight));
        }

        private TensorEntry conversion(Tensor to, Tensor from, long id) {
            return new TensorEntry("factors of " + members.getFirst().name(), to, from, List.of(), id);
        }

        private Matrices each(Function<Target, Tensor> of, long rows, long columns) {
            return new Matrices(members.stream().map(of).toList(), 0, 1, rows, columns, columns, 0);
        }

        private Matrices lefts(Tensor flat) {
            return Matrices.strided(flat, 0, members.size(), kind.longer(), kind.rank, kind.rank, kind.longer() * kind.rank);
        }

        private Matrices rights(Tensor flat) {
            return Matrices.strided(flat, 0, members.size(), kind.rank, kind.shorter(), kind.shorter(), kind.rank * kind.shorter());
        }

        /** Of a left and a right factor, as the matrices lie in memory. */
        private MatrixProduct.Plan outer(Matrices ofLeft, Matrices ofRight, Matrices to) {
            return plan(kind.wide ? MatrixProduct.of(ofRight, true, ofLeft, true, to) : MatrixProduct.of(ofLeft, false, ofRight, false, to));
        }

        private MatrixProduct.Plan plan(MatrixProduct product) {
            MatrixProduct.Plan plan = engine.matrixProduct(product);
            plans.add(plan);
            return plan;
        }

        /** Has what the QR method works with, and not what it does not. */
        void prepare() {
            boolean wanted = kind.group.value(QR_METHOD) == Dion.QrMethod.CQR.ordinal();
            if (wanted && cholesky == null) {
                cholesky = new CholeskyQR(engine, lefts, lefts);
            } else if (!wanted && cholesky != null) {
                cholesky.close();
                cholesky = null;
            }
        }

        /** Approximates the momenta, and takes a part of the approximation away from them. */
        void approximate() {
            convert(lowerMomenta);
            for (int i = 0; i < (int) kind.group.value(POWER_ITERS); i++) {
                (i == 0 ? multiply : multiplyAgain).run(1, 0, stream.get());
                convert(raiseLeft);
                orthonormalize();
                convert(lowerLeft);
                project.run(1, 0, stream.get());
            }
            convert(raiseProjected);
            takeAway.run(-(1 - kind.group.value(MU)), 1, stream.get());
        }

        private void orthonormalize() {
            if (cholesky != null) {
                try {
                    cholesky.run(stream.get());
                    return;
                } catch (PanoptimException refused) { // columns that depend on others, with all of them left as they were
                    if (refused.code() != Code.INVALID) {
                        throw refused;
                    }
                }
            }
            try {
                engine.decompose(Decomposition.qr(lefts), stream.get());
            } catch (PanoptimException refused) {
                if (refused.code() != Code.INVALID) {
                    throw refused;
                }
                throw PanoptimException.invalid("Dion.step", "there is no orthonormal factor of one of "
                        + members.stream().map(Target::name).toList() + ": its momentum or Q is not finite (" + refused.getMessage() + ")");
            }
        }

        void update() {
            double lr = kind.group.value(LR);
            update.run(-(Math.sqrt(kind.ratio) * lr), 1 - lr * kind.group.value(WEIGHT_DECAY), stream.get());
        }

        /** Held beside the step's memory. */
        long bytes() {
            return cholesky == null ? 0 : cholesky.workspaceBytes();
        }

        void close() {
            plans.forEach(MatrixProduct.Plan::close);
            closeAll(lowerMomenta, raiseLeft, lowerLeft, raiseProjected);
            if (cholesky != null) {
                cholesky.close();
            }
        }
    }

    private final Engine engine;
    private final Supplier<Stream> stream;
    private final Supplier<DType> products;
    private final List<Batch> batches = new ArrayList<>();
    private @Nullable Memory memory;
    private @Nullable Table sums;
    private @Nullable Table factors;
    /** Of half types: left factors in their type. */
    private @Nullable Table casts;
    private Rows rows = new Rows(1);

    /**
     * @param products the type of the products with the momentum, for matrices that are computed with in float32
     */
    DionStep(Engine engine, Supplier<Stream> stream, Supplier<DType> products) {
        this.engine = engine;
        this.stream = stream;
        this.products = products;
    }

    /** Makes the tables and plans for some matrices; refuses a state that is not finite, as one that was loaded may be. */
    void build(List<Target> stepping) {
        memory = engine.memory();
        Map<Kind, Batch> byKind = new LinkedHashMap<>();
        stepping.forEach(target -> byKind.computeIfAbsent(Kind.of(target), Batch::new).members.add(target));
        sums = engine.table(stepping.stream().map(DionStep::sum).toList());
        List<TensorEntry> factorEntries = new ArrayList<>();
        List<TensorEntry> castEntries = new ArrayList<>();
        List<Integer> classes = new ArrayList<>();
        for (Batch batch : byKind.values()) {
            batches.add(batch);
            batch.build(memory);
            for (int i = 0; i < batch.members.size(); i++) {
                Target target = batch.members.get(i);
                Tensor q = target.state(Dion.Q).transposed();
                long begin = i * q.elements();
                factorEntries.add(new TensorEntry(target.name(), q, batch.projected.part(begin, q), List.of(batch.right.part(begin, q)),
                        target.id(), batch.kind.rank));
                classes.add(batches.size() - 1);
            }
            if (batch.roundedLeft != batch.left) {
                castEntries.add(new TensorEntry("left factors", batch.roundedLeft, batch.left, List.of(), castEntries.size()));
            }
        }
        factors = engine.table(Rule.DION_FACTOR, factorEntries);
        factors.classes(classes.stream().mapToInt(Integer::intValue).toArray());
        casts = castEntries.isEmpty() ? null : engine.table(castEntries);
        rows = new Rows(Math.max(1, batches.size()));
        checkFinite("momenta", sums, Column.VALUE, DionStep::sum, "load another state");
        checkFinite("Q", factors, Column.VALUE, DionStep::factor, "load another state");
    }

    /** The gradient is added to the momentum; the parameter is there for the table's checks, such as that it overlaps no other. */
    private static TensorEntry sum(Target target) {
        return new TensorEntry(target.name(), target.state(Dion.MOMENTUM), target.gradient(), List.of(target.tensor()), target.id());
    }

    private static TensorEntry factor(Target target) {
        return new TensorEntry(target.name(), target.state(Dion.Q).transposed(), null, List.of(), target.id());
    }

    /** Some gradients lie elsewhere. */
    void moved(Map<Integer, Tensor> gradients) {
        if (sums != null) {
            sums.point(Column.GRADIENT, gradients);
        }
    }

    /** Allocates what the options ask for since the last step, before anything is written: all of it when it comes to the first one. */
    void prepare(Target target) {
        if (!batches.isEmpty() && target == batches.getFirst().members.getFirst()) {
            batches.forEach(Batch::prepare);
        }
    }

    /** Refuses gradients that are not finite. */
    void checkGradients() {
        if (sums != null) {
            checkFinite("gradients", sums, Column.GRADIENT, DionStep::sum, "skip the step");
        }
    }

    /**
     * Refuses what is not finite, by its names.
     *
     * @param all of which it is a column
     * @param entry that of one tensor, where it is the same column
     */
    private void checkFinite(String what, Table all, int column, Function<Target, TensorEntry> entry, String advice) {
        if (!batches.isEmpty() && !isFinite(all, column)) {
            List<String> names = batches.stream().flatMap(batch -> batch.members.stream()).filter(member -> {
                try (Table one = engine.table(List.of(entry.apply(member)))) {
                    return !isFinite(one, column);
                }
            }).map(Target::name).toList();
            throw PanoptimException.invalid("Dion.step", "the " + what + " of " + names + " have elements that are infinite or NaN, and no "
                    + "orthonormal factor: " + advice);
        }
    }

    private boolean isFinite(Table table, int column) {
        return Double.isFinite(engine.reduce(table, Reduction.absoluteMaximum(column), stream.get()).get());
    }

    void run() {
        if (sums == null || factors == null || batches.isEmpty()) {
            return;
        }
        engine.map(sums, MapOperation.axpy(Column.VALUE, 1, Column.GRADIENT), stream.get());
        for (int i = 0; i < batches.size(); i++) {
            batches.get(i).approximate();
            rows.set(i, DionFactorRow.EPS, batches.get(i).kind.group.value(EPSILON));
        }
        engine.step(factors, rows, null, Extras.NONE, stream.get());
        convert(casts);
        batches.forEach(Batch::update);
    }

    /** Copies the gradients of a table, if there is one, to its values, which are of another type. */
    private void convert(@Nullable Table table) {
        if (table != null) {
            engine.map(table, MapOperation.cast(Column.VALUE, Column.GRADIENT), stream.get());
        }
    }

    /** Held for what has been built. */
    long bytes() {
        return memory == null ? 0 : memory.bytes() + batches.stream().mapToLong(Batch::bytes).sum();
    }

    /**
     * Fills a matrix with numbers of a normal distribution, by Box and Muller, each from two words of splitmix64.
     *
     * @param id of the parameter
     */
    void fillGaussian(Tensor matrix, long seed, long id) {
        if (matrix.elements() == 0) {
            return;
        }
        long key = word(word(seed, 0), id);
        long rank = matrix.shape()[1];
        try (Arena arena = Arena.ofShared()) {
            Tensor host = Tensor.zeros(arena, matrix.dtype(), rank, matrix.shape()[0]).transposed();
            for (long i = 0; i < host.elements(); i++) {
                double radius = Math.sqrt(-2 * StrictMath.log(((word(key, 2 * i) >>> 11) + 1) * 0x1p-53));
                double angle = 2 * Math.PI * ((word(key, 2 * i + 1) >>> 11) * 0x1p-53);
                host.set(i % rank * matrix.shape()[0] + i / rank, radius * StrictMath.cos(angle));
            }
            engine.copy(host, matrix, stream.get());
        }
    }

    private static long word(long key, long n) {
        long z = key + (n + 1) * 0x9e3779b97f4a7c15L;
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        return z ^ z >>> 31;
    }

    private static void closeAll(@Nullable Table... tables) {
        for (Table table : tables) {
            if (table != null) {
                table.close();
            }
        }
    }

    /** Frees it all; it can be built again. */
    @Override
    public void close() {
        batches.forEach(Batch::close);
        batches.clear();
        closeAll(sums, factors, casts);
        sums = null;
        factors = null;
        casts = null;
        if (memory != null) {
            memory.close();
            memory = null;
        }
    }
}
