package io.panoptim.optim.matrix;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Column;
import io.panoptim.engine.Decomposition;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.SoapDirectionRow;
import io.panoptim.engine.SoapUpdateRow;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.TensorOptimizer.Target;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;

/** What {@link SOAP} does with the tensors that have a gradient: they stay the same until it is built anew. */
final class SoapStep implements AutoCloseable {
    private static final int LR = SOAP.SCHEMA.index("lr");
    private static final int BETAS = SOAP.SCHEMA.index("betas");
    private static final int SHAMPOO_BETA = SOAP.SCHEMA.index("shampoo_beta");
    private static final int EPS = SOAP.SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SOAP.SCHEMA.index("weight_decay");
    private static final int PRECONDITION_FREQUENCY = SOAP.SCHEMA.index("precondition_frequency");
    private static final int NORMALIZE_GRADS = SOAP.SCHEMA.index("normalize_grads");
    private static final int CORRECT_BIAS = SOAP.SCHEMA.index("correct_bias");

    /** What goes through the products together. */
    private record Kind(ParamGroup group, DType type, List<Long> dimensions, boolean isNew, long step) {}

    /** A dimension that has a preconditioner, and what is done along it. */
    private final class Mode {
        final Batch batch;
        final int mode;
        final int size;
        final Modes.Place outer;
        final Modes.Place basis;
        final Modes.Operation addOuter;
        private final List<Modes.Operation> estimate = new ArrayList<>();
        private final List<Modes.Operation> iterate = new ArrayList<>();
        private final List<Modes.Operation> reorder = new ArrayList<>();

        Mode(Batch batch, int mode) {
            this.batch = batch;
            this.mode = mode;
            this.size = Math.toIntExact(batch.kind.dimensions.get(mode));
            this.outer = batch.states(SOAP.GG + "." + mode);
            this.basis = batch.states(SOAP.Q + "." + mode);
            this.addOuter = batch.modes.outer(mode, batch.x, outer);
        }

        /**
         * Plans what new bases take.
         *
         * @param free where the squares' averages may lie meanwhile
         */
        void plan(Modes.Place free) {
            Modes.Place products = Modes.Place.of(batch.products);
            Modes.Place scratch = Modes.Place.of(batch.scratch);
            Modes.Place permutations = Modes.Place.of(batch.permutations);
            Modes.Place squares = batch.states(SOAP.EXP_AVG_SQ);
            estimate.add(batch.modes.square(mode, outer, false, basis, products));
            estimate.add(batch.modes.square(mode, basis, true, products, scratch));
            estimate.add(batch.modes.copy(Matrices.strided(batch.scratch, 0, batch.members.size(), size, 1, size + 1L, (long) size * size),
                    Matrices.strided(batch.diagonals, 0, batch.members.size(), size, 1, 1, size)));
            iterate.add(batch.modes.square(mode, basis, false, permutations, scratch));
            iterate.add(batch.modes.square(mode, outer, false, scratch, basis));
            reorder.add(batch.modes.multiply(mode, permutations, true, squares, free));
            reorder.add(batch.modes.copy(1, batch.size, free, squares));
        }

        /** The eigenvectors of the averages, those of the largest eigenvalues first. */
        void begin() {
            Modes.Place products = Modes.Place.of(batch.products);
            batch.modes.copy(size, size, outer, basis).run(1, 0, stream.get());
            decompose(Decomposition.eigen(all(), batch.memory.zeros(batch.kind.type, (long) batch.members.size() * size)));
            permute(batch.members.stream().map(member -> IntStream.range(0, size).map(j -> size - 1 - j).toArray()).toList());
            batch.modes.square(mode, basis, false, Modes.Place.of(batch.permutations), products).run(1, 0, stream.get());
            batch.modes.copy(size, size, products, basis).run(1, 0, stream.get());
        }

        /** One power iteration and QR, in the order of the estimated eigenvalues, in which the squares' averages then are, too. */
        void renew() {
            Modes.run(estimate, stream.get());
            permute(descending());
            Modes.run(iterate, stream.get());
            decompose(Decomposition.qr(all()));
            Modes.run(reorder, stream.get());
        }

        private Matrices all() {
            return Matrices.of(basis.tensors());
        }

        /** The order of each tensor's estimated eigenvalues, the largest first. */
        private List<int[]> descending() {
            try (Arena arena = Arena.ofConfined()) {
                Tensor estimates = OnHost.read(engine, batch.diagonals.slice(0, (long) batch.members.size() * size), arena, stream.get());
                return LongStream.range(0, batch.members.size()).mapToObj(member -> IntStream.range(0, size).boxed()
                        .sorted(Comparator.comparingDouble(j -> -estimates.get(member * size + j))).mapToInt(Integer::intValue).toArray()).toList();
            }
        }

        /** Writes a matrix for each tensor whose column j has its 1 in a row that the order says. */
        private void permute(List<int[]> orders) {
            OnHost.write(engine, batch.permutations.slice(0, orders.size() * (long) size * size), stream.get(), matrices -> {
                for (int member = 0; member < orders.size(); member++) {
                    int[] order = orders.get(member);
                    for (int j = 0; j < size; j++) {
                        matrices.set(((long) member * size + order[j]) * size + j, 1);
                    }
                }
            });
        }

        private void decompose(Decomposition decomposition) {
            try {
                engine.decompose(decomposition, stream.get());
            } catch (PanoptimException refused) {
                throw PanoptimException.invalid("SOAP.step", "there are no eigenvectors for dimension " + mode + " of "
                        + batch.members.stream().map(Target::name).toList() + ": a gradient was not finite, or they do not converge ("
                        + refused.getMessage() + ")");
            }
        }
    }

    /** Tensors of one shape and group with the same number of steps. */
    private final class Batch {
        final Kind kind;
        final List<Target> members = new ArrayList<>();
        final List<Integer> numbers = new ArrayList<>();
        final long size;
        Memory memory;
        Modes modes;
        /** One tensor after the other: gradients, then what is projected, to and fro. */
        Tensor gradients;
        Tensor others;
        Tensor products;
        Tensor scratch;
        Tensor permutations;
        /** Estimated eigenvalues. */
        Tensor diagonals;
        Modes.Place x;
        Modes.Place y;
        final List<Mode> preconditioned = new ArrayList<>();
        final List<Modes.Operation> project = new ArrayList<>();
        final List<Modes.Operation> projectBack = new ArrayList<>();
        /** Of the average of the gradients, into another place and from there. */
        final List<Modes.Operation> averageBack = new ArrayList<>();
        final List<Modes.Operation> average = new ArrayList<>();
        /** Where the projected gradients are, and the update goes: the two places. */
        Modes.Place projected;
        Modes.Place directions;
        Modes.Place updates;

        Batch(Kind kind) {
            this.kind = kind;
            this.size = kind.dimensions.stream().reduce(1L, (a, b) -> a * b);
        }

        void build(Memory allocated) {
            memory = allocated;
            int count = members.size();
            long[] dimensions = kind.dimensions.stream().mapToLong(Long::longValue).toArray();
            gradients = memory.zeros(kind.type, count * size);
            others = memory.zeros(kind.type, count * size);
            x = Modes.Place.of(gradients);
            y = Modes.Place.of(others);
            modes = new Modes(engine, kind.type, count, dimensions);
            long largest = 0;
            for (int mode = 0; mode < dimensions.length; mode++) {
                if (members.getFirst().stateOrNull(SOAP.GG + "." + mode) != null) {
                    preconditioned.add(new Mode(this, mode));
                    largest = Math.max(largest, dimensions[mode]);
                }
            }
            products = memory.zeros(kind.type, count * largest * largest);
            scratch = memory.zeros(kind.type, count * largest * largest);
            permutations = memory.zeros(kind.type, count * largest * largest);
            diagonals = memory.zeros(kind.type, count * largest);
            projected = chain(x, y, true, project);
            directions = other(projected);
            updates = chain(directions, projected, false, projectBack);
            if (!preconditioned.isEmpty()) {
                Modes.Place averages = states(SOAP.EXP_AVG);
                Modes.Place from = chain(averages, x, false, averageBack);
                if (!kind.isNew) {
                    Modes.Place free = other(from);
                    preconditioned.forEach(mode -> mode.plan(free));
                }
                for (int i = 0; i < preconditioned.size(); i++) {
                    Mode mode = preconditioned.get(i);
                    Modes.Place to = i + 1 == preconditioned.size() ? averages : other(from);
                    average.add(modes.multiply(mode.mode, mode.basis, true, from, to));
                    from = to;
                }
            }
        }

        private Modes.Place other(Modes.Place place) {
            return place == x ? y : x;
        }

        Modes.Place states(String key) {
            return new Modes.Place(members.stream().map(target -> target.state(key)).toList());
        }

        /** Products along all preconditioned dimensions; returns where they end. */
        private Modes.Place chain(Modes.Place begin, Modes.Place next, boolean transposed, List<Modes.Operation> operations) {
            Modes.Place from = begin;
            Modes.Place to = next;
            for (Mode mode : preconditioned) {
                operations.add(modes.multiply(mode.mode, mode.basis, transposed, from, to));
                from = to;
                to = other(to);
            }
            return from;
        }

        Tensor part(Modes.Place place, int member) {
            return place.tensors().getFirst().part(member * size, members.get(member).tensor());
        }

        double shampooBeta() {
            double beta = kind.group.value(SHAMPOO_BETA);
            return beta >= 0 ? beta : kind.group.value(BETAS + 1);
        }
    }

    private final Engine engine;
    private final Supplier<Stream> stream;
    private final List<Batch> batches = new ArrayList<>();
    private @Nullable Memory memory;
    private @Nullable Table casts;
    private @Nullable Table directions;
    private @Nullable Table updates;
    private Rows directionRows = new Rows(1);
    private Rows updateRows = new Rows(1);

    SoapStep(Engine engine, Supplier<Stream> stream) {
        this.engine = engine;
        this.stream = stream;
    }

    /** Makes the tables and plans for some tensors. */
    void build(List<Target> stepping) {
        memory = engine.memory();
        Map<Kind, Batch> byKind = new LinkedHashMap<>();
        for (int i = 0; i < stepping.size(); i++) {
            Target target = stepping.get(i);
            SOAP.checkState(target);
            List<Long> dimensions = Arrays.stream(SOAP.dimensions(target.group(), target.tensor().shape())).boxed().toList();
            Batch batch = byKind.computeIfAbsent(new Kind(target.group(), target.tensor().dtype().computeType(), dimensions,
                    target.isNew(), target.step()), Batch::new);
            batch.members.add(target);
            batch.numbers.add(i);
        }
        batches.addAll(byKind.values());
        TensorEntry[] castEntries = new TensorEntry[stepping.size()];
        TensorEntry[] directionEntries = new TensorEntry[stepping.size()];
        TensorEntry[] updateEntries = new TensorEntry[stepping.size()];
        int[] classes = new int[stepping.size()];
        for (int b = 0; b < batches.size(); b++) {
            Batch batch = batches.get(b);
            batch.build(memory);
            for (int i = 0; i < batch.members.size(); i++) {
                Target target = batch.members.get(i);
                int number = batch.numbers.get(i);
                castEntries[number] = new TensorEntry(target.name(), batch.part(batch.x, i), target.gradient(), List.of(), number);
                directionEntries[number] = new TensorEntry(target.name(), target.state(SOAP.EXP_AVG), batch.part(batch.projected, i),
                        List.of(target.state(SOAP.EXP_AVG_SQ), batch.part(batch.directions, i)), number);
                updateEntries[number] = new TensorEntry(target.name(), target.tensor(), batch.part(batch.updates, i), List.of(), number);
                classes[number] = batch.kind.isNew ? Table.ABSENT : b;
            }
        }
        casts = engine.table(List.of(castEntries));
        directions = engine.table(Rule.SOAP_DIRECTION, List.of(directionEntries));
        directions.classes(classes);
        updates = engine.table(Rule.SOAP_UPDATE, List.of(updateEntries));
        updates.classes(classes);
        directionRows = new Rows(Math.max(1, batches.size()));
        updateRows = new Rows(Math.max(1, batches.size()));
    }

    /** Some gradients lie elsewhere. */
    void moved(Map<Integer, Tensor> gradients) {
        Objects.requireNonNull(casts).point(Column.GRADIENT, gradients);
    }

    /**
     * Takes a step.
     *
     * @return whether some tensors have taken their first one
     */
    boolean run() {
        if (casts == null || directions == null || updates == null || batches.isEmpty()) {
            return false;
        }
        engine.map(casts, MapOperation.cast(Column.VALUE, Column.GRADIENT), stream.get());
        for (int b = 0; b < batches.size(); b++) {
            Batch batch = batches.get(b);
            double beta = batch.shampooBeta();
            batch.preconditioned.forEach(mode -> mode.addOuter.run(1 - beta, beta, stream.get()));
            if (batch.kind.isNew) {
                batch.preconditioned.forEach(Mode::begin);
            } else {
                batch.members.forEach(Target::count);
                fillRows(b, batch.kind.group, batch.members.getFirst().step());
                Modes.run(batch.project, stream.get());
            }
        }
        engine.step(directions, directionRows, null, Extras.NONE, stream.get());
        batches.stream().filter(batch -> !batch.kind.isNew).forEach(batch -> Modes.run(batch.projectBack, stream.get()));
        engine.step(updates, updateRows, null, Extras.NONE, stream.get());
        for (Batch batch : batches) {
            long frequency = (long) batch.kind.group.value(PRECONDITION_FREQUENCY);
            if (!batch.kind.isNew && batch.members.getFirst().step() % frequency == 0) {
                Modes.run(batch.averageBack, stream.get());
                batch.preconditioned.forEach(Mode::renew);
                Modes.run(batch.average, stream.get());
            }
        }
        return batches.stream().anyMatch(batch -> batch.kind.isNew);
    }

    private void fillRows(int row, ParamGroup group, long step) {
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        double size = group.value(LR);
        if (group.value(CORRECT_BIAS) != 0) {
            size = size * CMath.pow(1 - CMath.pow(beta2, step), 0.5) / (1 - CMath.pow(beta1, step));
        }
        directionRows.set(row, SoapDirectionRow.EXP_AVG_DECAY, beta1)
                .set(row, SoapDirectionRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, SoapDirectionRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, SoapDirectionRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, SoapDirectionRow.EPS, group.value(EPS));
        updateRows.set(row, SoapUpdateRow.DECAY, -(group.value(LR) * group.value(WEIGHT_DECAY)))
                .set(row, SoapUpdateRow.STEP_SIZE, -size)
                .flags(row, Rows.flag(SoapUpdateRow.NORMALIZES, group.value(NORMALIZE_GRADS) != 0));
    }

    /** Frees it all; it can be built again. */
    @Override
    public void close() {
        batches.forEach(batch -> {
            if (batch.modes != null) {
                batch.modes.close();
            }
        });
        batches.clear();
        for (Table table : Arrays.asList(casts, directions, updates)) {
            if (table != null) {
                table.close();
            }
        }
        casts = null;
        directions = null;
        updates = null;
        if (memory != null) {
            memory.close();
            memory = null;
        }
    }
}
