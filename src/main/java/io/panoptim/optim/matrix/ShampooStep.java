package io.panoptim.optim.matrix;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Column;
import io.panoptim.engine.Decomposition;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.ShampooFilterRow;
import io.panoptim.engine.ShampooGraftRow;
import io.panoptim.engine.ShampooUpdateRow;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.linalg.InverseRoot;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.TensorOptimizer.Target;
import io.panoptim.optim.matrix.Shampoo.Block;
import io.panoptim.optim.matrix.Shampoo.Grafting;
import io.panoptim.optim.matrix.Shampoo.RootInv;
import io.panoptim.optim.matrix.Shampoo.WeightDecayType;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** What {@link Shampoo} does with the tensors that have a gradient: they stay the same until it is built anew. */
final class ShampooStep implements AutoCloseable {
    private static final int LR = Shampoo.SCHEMA.index("lr");
    private static final int BETAS = Shampoo.SCHEMA.index("betas");
    private static final int BETA3 = Shampoo.SCHEMA.index("beta3");
    private static final int EPSILON = Shampoo.SCHEMA.index("epsilon");
    private static final int WEIGHT_DECAY = Shampoo.SCHEMA.index("weight_decay");
    private static final int WEIGHT_DECAY_TYPE = Shampoo.SCHEMA.index("weight_decay_type");
    private static final int PRECONDITION_FREQUENCY = Shampoo.SCHEMA.index("precondition_frequency");
    private static final int START_PRECONDITIONING_STEP = Shampoo.SCHEMA.index("start_preconditioning_step");
    private static final int USE_BIAS_CORRECTION = Shampoo.SCHEMA.index("use_bias_correction");
    private static final int GRAFTING_BETA2 = Shampoo.SCHEMA.index("grafting_beta2");
    private static final int GRAFTING_EPSILON = Shampoo.SCHEMA.index("grafting_epsilon");
    private static final int MOMENTUM = Shampoo.SCHEMA.index("momentum");
    private static final int DAMPENING = Shampoo.SCHEMA.index("dampening");
    private static final int USE_NESTEROV = Shampoo.SCHEMA.index("use_nesterov");
    private static final int ROOT_INV = Shampoo.SCHEMA.index("root_inv");

    /** Of the source's CoupledNewtonConfig. */
    private static final double NEWTON_TOLERANCE = 1e-6;
    private static final int NEWTON_ITERATIONS = 100;

    /** What goes through the products together. */
    private record Kind(ParamGroup group, DType type, List<Long> sizes, long step) {}

    /**
     * A tensor's gradient, and the tensor itself, in the type that is computed in.
     *
     * @param gradient where the gradient is cast to
     * @param value the tensor, or its copy of that type
     */
    private record Whole(Target target, List<Long> dimensions, Tensor gradient, Tensor value) {}

    /** A block of a tensor. */
    private record Member(Target target, Block block, @Nullable Whole whole) {
        Tensor state(String key) {
            return target.state(block.key(key));
        }

        @Nullable Tensor stateOrNull(String key) {
            return target.stateOrNull(block.key(key));
        }

        String name() {
            return target.name() + (whole == null ? "" : ", block " + block.number());
        }
    }

    /** A dimension that has a preconditioner, and what is done along it. */
    private final class Mode {
        final Batch batch;
        final int mode;
        final int size;
        final Modes.Place factors;
        final Modes.Place inverses;
        final Modes.Operation addOuter;
        final MatrixProduct.Plan scale;
        final Modes.Operation multiply;
        private @Nullable InverseRoot newton;

        Mode(Batch batch, int mode) {
            this.batch = batch;
            this.mode = mode;
            this.size = Math.toIntExact(batch.kind.sizes.get(mode));
            this.factors = batch.states(Shampoo.FACTORS + mode);
            this.inverses = batch.states(Shampoo.INVERSES + mode);
            this.addOuter = batch.modes.outer(mode, Modes.Place.of(batch.gradients), factors);
            this.scale = batch.modes.multiple(Matrices.of(factors.tensors()), matrices(batch.vectors));
            this.multiply = batch.modes.symmetric(mode, Modes.Place.of(batch.scaled), Modes.Place.of(batch.vectors), inverses);
        }

        private Matrices matrices(Tensor tensor) {
            return Matrices.strided(tensor, 0, batch.members.size(), size, size, size, (long) size * size);
        }

        /** The inverse roots of the averages, or sums. */
        void invert(double correction, double exponent) {
            ParamGroup group = batch.kind.group;
            double epsilon = group.value(EPSILON);
            try {
                if (group.value(ROOT_INV) == RootInv.COUPLED_NEWTON.ordinal()) {
                    scale.run(0, 1 / correction, stream.get());
                    newton(epsilon, (int) Math.rint(1 / exponent));
                } else {
                    scale.run(0, 1 / correction, epsilon, stream.get());
                    eigen(epsilon, exponent);
                }
            } catch (PanoptimException refused) {
                throw PanoptimException.invalid("Shampoo.step", "there are no inverse roots for dimension " + mode + " of "
                        + batch.members.stream().map(Member::name).toList() + ": a gradient was not finite, or they do not converge ("
                        + refused.getMessage() + ")");
            }
        }

        private void newton(double epsilon, int root) {
            if (newton == null) {
                newton = new InverseRoot(engine, matrices(batch.vectors), Matrices.of(inverses.tensors()), root);
            }
            newton.run(epsilon, NEWTON_TOLERANCE, NEWTON_ITERATIONS, stream.get());
        }

        private void eigen(double epsilon, double exponent) {
            engine.decompose(Decomposition.eigen(matrices(batch.vectors), batch.eigenvalues.slice(0, (long) batch.members.size() * size)),
                    stream.get());
            long elements = (long) batch.members.size() * size * size;
            try (Arena arena = Arena.ofConfined()) {
                Tensor eigenvalues = OnHost.read(engine, batch.eigenvalues.slice(0, (long) batch.members.size() * size), arena, stream.get());
                Tensor vectors = OnHost.read(engine, batch.vectors.slice(0, elements), arena, stream.get());
                OnHost.write(engine, batch.scaled.slice(0, elements), stream.get(), to -> scale(vectors, eigenvalues, epsilon, exponent, to));
            }
            multiply.run(1, 0, stream.get());
        }

        /** Multiplies eigenvectors by powers of their eigenvalues. */
        private void scale(Tensor vectors, Tensor eigenvalues, double epsilon, double exponent, Tensor to) {
            double[] powers = new double[size];
            for (int member = 0; member < batch.members.size(); member++) {
                double least = eigenvalues.get((long) member * size); // they ascend
                for (int j = 0; j < size; j++) {
                    double eigenvalue = eigenvalues.get((long) member * size + j);
                    powers[j] = CMath.pow(least < epsilon ? eigenvalue - least + epsilon : eigenvalue, -exponent);
                }
                long first = (long) member * size * size;
                for (int i = 0; i < size; i++) {
                    for (int j = 0; j < size; j++) {
                        long element = first + (long) i * size + j;
                        to.set(element, vectors.get(element) * powers[j]);
                    }
                }
            }
        }

        void close() {
            if (newton != null) {
                newton.close();
            }
        }
    }

    /** Blocks of one shape and group with the same number of steps. */
    private final class Batch {
        final Kind kind;
        final List<Member> members = new ArrayList<>();
        final List<Integer> numbers = new ArrayList<>();
        final long size;
        final double exponent;
        Modes modes;
        /** One block after the other: gradients, what is preconditioned of them, and the steps. */
        Tensor gradients;
        Tensor directions;
        Tensor steps;
        Tensor weights;
        Tensor vectors;
        Tensor scaled;
        Tensor eigenvalues;
        final List<Mode> preconditioned = new ArrayList<>();
        final List<Modes.Operation> gather = new ArrayList<>();
        final List<Modes.Operation> scatter = new ArrayList<>();
        final List<Modes.Operation> precondition = new ArrayList<>();
        /** Instead of what filters, where nothing is averaged. */
        final List<Modes.Operation> take = new ArrayList<>();
        Table penalties;

        Batch(Kind kind) {
            this.kind = kind;
            this.size = kind.sizes.stream().reduce(1L, (a, b) -> a * b);
            this.exponent = Shampoo.exponent(kind.group, kind.sizes.size());
        }

        void build(Memory memory) {
            int count = members.size();
            long[] sizes = kind.sizes.stream().mapToLong(Long::longValue).toArray();
            gradients = memory.zeros(kind.type, count * size);
            directions = memory.zeros(kind.type, count * size);
            steps = memory.zeros(kind.type, count * size);
            weights = memory.zeros(kind.type, members.stream().anyMatch(member -> member.whole != null) ? count * size : 0);
            modes = new Modes(engine, kind.type, count, sizes);
            long largest = exponent == 0 ? 0 : kind.sizes.stream().mapToLong(Long::longValue).max().orElse(0);
            vectors = memory.zeros(kind.type, count * largest * largest);
            scaled = memory.zeros(kind.type, count * largest * largest);
            eigenvalues = memory.zeros(kind.type, count * largest);
            for (int mode = 0; mode < sizes.length && exponent != 0; mode++) {
                preconditioned.add(new Mode(this, mode));
            }
            chain();
            if (ShampooStep.states(members.getFirst(), Shampoo.FILTERED_GRAD, Shampoo.ADAGRAD).isEmpty()) {
                take.add(modes.copy(1, size, Modes.Place.of(gradients), Modes.Place.of(directions)));
            }
            List<TensorEntry> entries = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                cut(i);
                entries.add(new TensorEntry(members.get(i).name(), part(gradients, i), null, List.of(weight(i)), i));
            }
            penalties = engine.table(entries);
        }

        /** From the directions to the steps, by way of the gradients, which are not needed any more. */
        private void chain() {
            int count = preconditioned.size();
            if (count == 0) {
                precondition.add(modes.copy(1, size, Modes.Place.of(directions), Modes.Place.of(steps)));
            }
            Modes.Place from = Modes.Place.of(directions);
            for (int i = 0; i < count; i++) {
                Modes.Place to = Modes.Place.of((count - i) % 2 == 1 ? steps : gradients);
                precondition.add(modes.multiply(preconditioned.get(i).mode, preconditioned.get(i).inverses, false, from, to));
                from = to;
            }
        }

        /** Plans the copies of a block out of its tensor, row by row of its last dimension, and back. */
        private void cut(int number) {
            Member member = members.get(number);
            if (member.whole == null) {
                return;
            }
            List<Long> dimensions = member.whole.dimensions;
            int last = dimensions.size() - 1;
            long columns = kind.sizes.get(last);
            long rows = last == 0 ? 1 : kind.sizes.get(last - 1);
            long leading = dimensions.get(last);
            for (long begin = 0; begin < size; begin += rows * columns) {
                long offset = 0;
                long distance = 1;
                long index = begin;
                for (int i = last; i >= 0; i--) {
                    offset += (index % kind.sizes.get(i) + member.block.first().get(i)) * distance;
                    index /= kind.sizes.get(i);
                    distance *= dimensions.get(i);
                }
                Matrices gradient = Matrices.strided(member.whole.gradient, offset, 1, rows, columns, leading, 0);
                Matrices value = Matrices.strided(member.whole.value, offset, 1, rows, columns, leading, 0);
                long first = number * size + begin;
                gather.add(modes.copy(gradient, Matrices.strided(gradients, first, 1, rows, columns, columns, 0)));
                Matrices weight = Matrices.strided(weights, first, 1, rows, columns, columns, 0);
                gather.add(modes.copy(value, weight));
                scatter.add(modes.copy(weight, value));
            }
        }

        Modes.Place states(String key) {
            return new Modes.Place(members.stream().map(member -> member.state(key)).toList());
        }

        Tensor part(Tensor tensor, int member) {
            return tensor.slice(member * size, size);
        }

        /** Of a block: the parameter itself, or its copy. */
        Tensor weight(int member) {
            return members.get(member).whole == null ? members.get(member).target.tensor().slice(0, size) : part(weights, member);
        }

        boolean isGraftOnly() {
            return Shampoo.grafting(kind.group) != Grafting.NONE && members.getFirst().target.step() < start();
        }

        private long start() {
            double start = kind.group.value(START_PRECONDITIONING_STEP);
            return (long) (start == -1 ? kind.group.value(PRECONDITION_FREQUENCY) : start);
        }

        boolean inverts() {
            long step = members.getFirst().target.step();
            return step == start() || step > start() && step % (long) kind.group.value(PRECONDITION_FREQUENCY) == 0;
        }

        void close() {
            preconditioned.forEach(Mode::close);
            if (modes != null) {
                modes.close();
            }
            if (penalties != null) {
                penalties.close();
            }
        }
    }

    private final Engine engine;
    private final Supplier<Stream> stream;
    private final List<Batch> batches = new ArrayList<>();
    private final List<Target> targets = new ArrayList<>();
    /** Those of tensors with several blocks. */
    private final List<Whole> wholes = new ArrayList<>();
    private final List<Table> tables = new ArrayList<>();
    private @Nullable Memory memory;
    private @Nullable Table casts;
    /** Of half types, the tensors with several blocks and their copies. */
    private @Nullable Table copies;
    private @Nullable Table filters;
    private @Nullable Table grafts;
    private @Nullable Table updates;
    private Rows filterRows = new Rows(1);
    private Rows graftRows = new Rows(1);
    private Rows updateRows = new Rows(1);

    ShampooStep(Engine engine, Supplier<Stream> stream) {
        this.engine = engine;
        this.stream = stream;
    }

    /** Makes the tables and plans for some tensors. */
    void build(List<Target> stepping) {
        memory = engine.memory();
        targets.addAll(stepping);
        Map<Kind, Batch> byKind = new LinkedHashMap<>();
        List<Member> members = new ArrayList<>();
        for (Target target : stepping) {
            List<Long> dimensions = Shampoo.dimensions(target.group(), target.tensor().shape());
            List<Block> blocks = Shampoo.blocks(target.group(), dimensions);
            checkState(target, blocks);
            Whole whole = blocks.size() == 1 ? null : whole(target, dimensions);
            for (Block block : blocks) {
                Batch batch = byKind.computeIfAbsent(new Kind(target.group(), target.tensor().dtype().computeType(), block.sizes(),
                        target.step()), Batch::new);
                batch.numbers.add(members.size());
                batch.members.add(new Member(target, block, whole));
                members.add(batch.members.getLast());
            }
        }
        batches.addAll(byKind.values());
        for (Batch batch : batches) {
            batch.build(memory);
        }
        buildTables(members.size());
        filterRows = new Rows(Math.max(1, batches.size()));
        graftRows = new Rows(Math.max(1, batches.size()));
        updateRows = new Rows(Math.max(1, batches.size()));
    }

    private Whole whole(Target target, List<Long> dimensions) {
        Tensor value = target.tensor();
        DType type = value.dtype().computeType();
        Memory owner = Objects.requireNonNull(memory);
        Whole whole = new Whole(target, dimensions, owner.zerosLike(value, type), type == value.dtype() ? value : owner.zerosLike(value, type));
        wholes.add(whole);
        return whole;
    }

    private void buildTables(int count) {
        Map<Target, Tensor> cast = new LinkedHashMap<>();
        List<TensorEntry> filterEntries = new ArrayList<>();
        List<Integer> filterClasses = new ArrayList<>();
        TensorEntry[] graftEntries = new TensorEntry[count];
        TensorEntry[] updateEntries = new TensorEntry[count];
        int[] classes = new int[count];
        int[] graftClasses = new int[count];
        for (int b = 0; b < batches.size(); b++) {
            Batch batch = batches.get(b);
            for (int i = 0; i < batch.members.size(); i++) {
                Member member = batch.members.get(i);
                int number = batch.numbers.get(i);
                cast.put(member.target, member.whole != null ? member.whole.gradient
                        : batch.gradients.part(i * batch.size, member.target.tensor()));
                List<Tensor> averages = states(member, Shampoo.FILTERED_GRAD, Shampoo.ADAGRAD);
                if (!averages.isEmpty()) {
                    filterEntries.add(new TensorEntry(member.name(), batch.part(batch.directions, i), batch.part(batch.gradients, i), averages,
                            number));
                    filterClasses.add(b);
                }
                graftEntries[number] = new TensorEntry(member.name(), batch.part(batch.steps, i), batch.part(batch.directions, i),
                        states(member, Shampoo.ADAGRAD), number);
                updateEntries[number] = new TensorEntry(member.name(), batch.weight(i), batch.part(batch.steps, i),
                        states(member, Shampoo.MOMENTUM_BUFFER), number);
                classes[number] = b;
                graftClasses[number] = Shampoo.grafting(batch.kind.group) == Grafting.NONE ? Table.ABSENT : b;
            }
        }
        casts = table(targets.stream().map(target -> new TensorEntry(target.name(), Objects.requireNonNull(cast.get(target)),
                target.gradient(), List.of(), targets.indexOf(target))).toList());
        copies = table(wholes.stream().filter(whole -> whole.value != whole.target.tensor()).map(whole -> new TensorEntry(whole.target.name(),
                whole.value, null, List.of(whole.target.tensor()), wholes.indexOf(whole))).toList());
        filters = table(Rule.SHAMPOO_FILTER, filterEntries, filterClasses.stream().mapToInt(Integer::intValue).toArray());
        grafts = table(Rule.SHAMPOO_GRAFT, List.of(graftEntries), graftClasses);
        updates = table(Rule.SHAMPOO_UPDATE, List.of(updateEntries), classes);
    }

    private Table table(List<TensorEntry> entries) {
        tables.add(engine.table(entries));
        return tables.getLast();
    }

    private Table table(Rule rule, List<TensorEntry> entries, int[] classes) {
        tables.add(engine.table(rule, entries));
        tables.getLast().classes(classes);
        return tables.getLast();
    }

    private static List<Tensor> states(Member member, String... keys) {
        List<Tensor> states = new ArrayList<>();
        for (String key : keys) {
            Tensor state = member.stateOrNull(key);
            if (state != null) {
                states.add(state.slice(0, state.elements()));
            }
        }
        return states;
    }

    /** Refuses options that ask for another state than there is. */
    static void checkState(Target target, List<Block> blocks) {
        for (Block block : blocks) {
            boolean fits = target.stateOrNull("block_" + blocks.size() + "." + Shampoo.FACTORS + 0) == null;
            for (int mode = 0; mode < block.sizes().size(); mode++) {
                Tensor factors = target.stateOrNull(block.key(Shampoo.FACTORS + mode));
                boolean wanted = Shampoo.exponent(target.group(), block.sizes().size()) != 0;
                fits &= wanted == (factors != null) && (factors == null || factors.shape()[0] == block.sizes().get(mode));
            }
            List<String> keys = Shampoo.elementStates(target.group());
            for (String key : List.of(Shampoo.ADAGRAD, Shampoo.FILTERED_GRAD, Shampoo.MOMENTUM_BUFFER)) {
                Tensor state = target.stateOrNull(block.key(key));
                fits &= keys.contains(key) == (state != null) && (state == null || state.elements() == block.elements());
            }
            if (!fits) {
                throw PanoptimException.invalid("Shampoo.step", "options that change the state cannot change after the first step: '"
                        + target.name() + "' has other blocks, preconditioners or averages");
            }
        }
    }

    /** Some gradients lie elsewhere. */
    void moved(Map<Integer, Tensor> gradients) {
        Objects.requireNonNull(casts).point(Column.GRADIENT, gradients);
    }

    /** Takes a step. */
    void run() {
        if (casts == null || copies == null || filters == null || grafts == null || updates == null || batches.isEmpty()) {
            return;
        }
        targets.forEach(Target::count);
        engine.map(casts, MapOperation.cast(Column.VALUE, Column.GRADIENT), stream.get());
        engine.map(copies, MapOperation.cast(Column.VALUE, Column.STATE), stream.get());
        for (int b = 0; b < batches.size(); b++) {
            Batch batch = batches.get(b);
            Modes.run(batch.gather, stream.get());
            double decay = batch.kind.group.value(WEIGHT_DECAY);
            if (decay != 0 && !isDecoupled(batch.kind.group)) {
                engine.map(batch.penalties, MapOperation.axpy(Column.VALUE, decay, Column.STATE), stream.get());
            }
            fillRows(b, batch, batch.kind.group, batch.members.getFirst().target.step());
            updatePreconditioners(batch, batch.kind.group, batch.members.getFirst().target.step());
        }
        batches.forEach(batch -> Modes.run(batch.take, stream.get()));
        engine.step(filters, filterRows, null, Extras.NONE, stream.get());
        batches.stream().filter(batch -> !batch.isGraftOnly()).forEach(batch -> Modes.run(batch.precondition, stream.get()));
        engine.step(grafts, graftRows, null, Extras.NONE, stream.get());
        engine.step(updates, updateRows, null, Extras.NONE, stream.get());
        batches.forEach(batch -> Modes.run(batch.scatter, stream.get()));
        engine.map(copies, MapOperation.cast(Column.STATE, Column.VALUE), stream.get());
    }

    private static boolean isDecoupled(ParamGroup group) {
        return group.value(WEIGHT_DECAY_TYPE) == WeightDecayType.DECOUPLED.ordinal();
    }

    private void updatePreconditioners(Batch batch, ParamGroup group, long step) {
        double beta = group.value(BETAS + 1);
        batch.preconditioned.forEach(mode -> mode.addOuter.run(beta == 1 ? 1 : 1 - beta, beta, stream.get()));
        if (batch.inverts()) {
            double correction = group.value(USE_BIAS_CORRECTION) != 0 && beta < 1 ? 1 - CMath.pow(beta, step) : 1;
            batch.preconditioned.forEach(mode -> mode.invert(correction, batch.exponent));
        }
    }

    private void fillRows(int row, Batch batch, ParamGroup group, long step) {
        double beta1 = group.value(BETAS);
        double beta3 = group.value(BETA3) == -1 ? beta1 : group.value(BETA3);
        boolean corrects = group.value(USE_BIAS_CORRECTION) != 0;
        Grafting grafting = Shampoo.grafting(group);
        double graftingBeta2 = grafting == Grafting.ADAGRAD ? 1 : group.value(GRAFTING_BETA2);
        filterRows.set(row, ShampooFilterRow.FILTER_WEIGHT, 1 - beta3)
                .set(row, ShampooFilterRow.AVERAGE_WEIGHT, 1 - beta1)
                .set(row, ShampooFilterRow.CORRECTION, corrects ? 1 - beta3 * CMath.pow(beta1, step - 1) : 1)
                .set(row, ShampooFilterRow.SQUARE_DECAY, graftingBeta2)
                .set(row, ShampooFilterRow.SQUARE_WEIGHT, grafting == Grafting.ADAGRAD ? 1 : 1 - graftingBeta2)
                .flags(row, Rows.flag(ShampooFilterRow.FILTERS, beta1 != 0));
        graftRows.set(row, ShampooGraftRow.CORRECTION, grafting == Grafting.ADAM && graftingBeta2 < 1 ? 1 - CMath.pow(graftingBeta2, step) : 1)
                .set(row, ShampooGraftRow.EPS, group.value(GRAFTING_EPSILON))
                .flags(row, Rows.flag(ShampooGraftRow.SCALES, !batch.isGraftOnly()));
        updateRows.set(row, ShampooUpdateRow.WEIGHT_DECAY, group.value(WEIGHT_DECAY))
                .set(row, ShampooUpdateRow.MOMENTUM, group.value(MOMENTUM))
                .set(row, ShampooUpdateRow.UNDAMPENED, 1 - group.value(DAMPENING))
                .set(row, ShampooUpdateRow.STEP_SIZE, -group.value(LR))
                .flags(row, Rows.flag(ShampooUpdateRow.DECAYS, group.value(WEIGHT_DECAY) != 0 && isDecoupled(group))
                        | Rows.flag(ShampooUpdateRow.NESTEROV, group.value(USE_NESTEROV) != 0));
    }

    /** Frees it all; it can be built again. */
    @Override
    public void close() {
        batches.forEach(Batch::close);
        tables.forEach(Table::close);
        batches.clear();
        tables.clear();
        targets.clear();
        wholes.clear();
        casts = null;
        copies = null;
        filters = null;
        grafts = null;
        updates = null;
        if (memory != null) {
            memory.close();
            memory = null;
        }
    }
}
