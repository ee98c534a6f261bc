package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.engine.ChunkPlan;
import io.panoptim.engine.Column;
import io.panoptim.engine.Extras;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.RuleSums;
import io.panoptim.engine.RuleSums.Over;
import io.panoptim.engine.SumPlan;
import io.panoptim.engine.Table;
import io.panoptim.engine.TableImage;
import io.panoptim.engine.TensorEntry;
import io.panoptim.ffi.panoptim_chunk;
import io.panoptim.ffi.panoptim_record;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;
import java.util.function.IntUnaryOperator;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * A table with its records and chunks in device memory, built once, and the arguments of the kernels that a step launches. What has
 * changed of the records is copied before the next launch.
 */
final class CudaTable extends Table {
    private static final long RECORD = panoptim_record.sizeof();
    private static final long CHUNK = panoptim_chunk.sizeof();
    private static final int NO_RULE = -1;

    private final CudaEngine engine;
    private final Arena arena = Arena.ofShared();
    private final CudaMemory memory;
    private final UploadRing uploads;
    private final TableImage image;
    private final long records;
    /** Records that differ from those on the device. */
    private final BitSet changed = new BitSet();
    private final List<StepLaunch> launches;
    private final @Nullable FinishLaunch finish;
    /** Whether there are values of type bfloat16, which a step may be asked to round stochastically. */
    private final boolean bfloat16;
    /** How many rows can travel among the kernels' arguments. */
    private final int mostRows;
    /** Made when a verb over columns is first used. */
    private @Nullable ColumnLaunches columns;
    /** Made when statistics are first asked for. */
    private @Nullable StatisticLaunches statistics;
    private long closures;
    private long version;
    /** Likewise for sparse gradients. */
    private @Nullable CudaRows sparse;
    private long rowBuffer;
    private int rowBufferRows;

    CudaTable(CudaEngine engine, @Nullable Rule rule, List<TensorEntry> entries) {
        super(engine, false, rule, entries);
        this.engine = engine;
        this.memory = engine.memory("tables");
        this.uploads = new UploadRing(engine);
        this.bfloat16 = entries.stream().anyMatch(entry -> entry.value().dtype() == DType.BFLOAT16);
        try {
            this.image = new TableImage(this, rule == null ? NO_RULE : rule.id(), chunkElements(engine, entries), arena);
            this.records = upload(image.records());
            this.launches = rule == null ? List.of() : launches(rule);
            this.finish = rule == null || rule.sums() == null || sums() == null ? null : finish(rule, rule.sums(), sums());
            this.mostRows = finish == null && launches.stream().noneMatch(launch -> launch.wide) ? KernelArguments.MOST_FLOATS
                    : KernelArguments.MOST_DOUBLES;
        } catch (RuntimeException refused) {
            free();
            throw refused;
        }
    }

    /** Enough chunks to occupy every multiprocessor evenly, and none so small that its table costs more than its elements. */
    private static int chunkElements(CudaEngine engine, List<TensorEntry> entries) {
        long elements = entries.stream().mapToLong(entry -> entry.end() - entry.begin()).sum();
        long even = Math.ceilDiv(elements, engine.context().gpu().multiprocessors() * 32L);
        return Math.clamp(Math.ceilDiv(even, ChunkPlan.LEAF) * ChunkPlan.LEAF, 2 * ChunkPlan.LEAF, 32 * ChunkPlan.LEAF);
    }

    /** One launch for each compute type and number of state slots, over chunks that lie together. */
    private List<StepLaunch> launches(Rule rule) {
        SumPlan plan = sums();
        RuleSums sums = rule.sums();
        long partials = doubles(plan == null || sums == null ? 0 : plan.leafCount() * sums.sums().size());
        long reduced = doubles(plan == null || sums == null ? 0 : plan.reducedCount() * sums.reduced().size());
        return grouped(image.steps(), this::kernel, (kernel, chunks, blocks) -> new StepLaunch(rule, kernel, records, chunks, blocks,
                partials, reduced));
    }

    /** Makes something of the chunks, on the device, of all tensors with the same kernel. */
    private interface Grouped<G> {
        G make(int kernel, long chunks, int blocks);
    }

    private <G> List<G> grouped(TableImage.Chunks chunks, IntUnaryOperator kernelOf, Grouped<G> group) {
        int[] tensors = chunks.plan().tensors();
        int[] order = IntStream.range(0, tensors.length).boxed()
                .sorted(Comparator.comparingInt(chunk -> kernelOf.applyAsInt(tensors[chunk]))).mapToInt(chunk -> chunk).toArray();
        List<G> made = new ArrayList<>();
        try (Arena temporary = Arena.ofConfined()) {
            MemorySegment ordered = temporary.allocate(CHUNK * order.length, CHUNK);
            for (int i = 0; i < order.length; i++) {
                MemorySegment.copy(chunks.segment(), order[i] * CHUNK, ordered, i * CHUNK, CHUNK);
            }
            long onDevice = upload(ordered);
            int first = 0;
            for (int i = 1; i <= order.length; i++) {
                int kernel = kernelOf.applyAsInt(tensors[order[first]]);
                if (i == order.length || kernelOf.applyAsInt(tensors[order[i]]) != kernel) {
                    made.add(group.make(kernel, onDevice + first * CHUNK, i - first));
                    first = i;
                }
            }
        }
        return made;
    }

    /** A number for the kernel that a tensor needs: its slots, whether it computes in float64, and whether it stages what is stored. */
    private int kernel(int tensor) {
        return slots(tensor) * 4 + isWide(tensor) * 2 + (isStaged(tensor) ? 1 : 0);
    }

    /** Whether a tensor is stored as something else than numbers of its columns' types. */
    private boolean isStaged(int tensor) {
        TensorEntry entry = entry(tensor);
        Tensor master = entry.others().get(Column.MASTER);
        return !entry.codes().isEmpty() || entry.others().containsKey(Column.COMPENSATION) || master != null && master.dtype() == DType.INT16;
    }

    private int isWide(int tensor) {
        return entry(tensor).value().dtype().computeType() == DType.FLOAT64 ? 1 : 0;
    }

    /** The arguments of a rule's step kernel, {@code Arguments<T>} of {@code kernels/step.h}, and of the one that measures. */
    private final class StepLaunch {
        final Rule rule;
        final boolean wide;
        final boolean staged;
        final String suffix;
        final MemorySegment step;
        final MemorySegment measure;
        final int blocks;
        final KernelArguments arguments;
        /** Of a step that rounds numbers stochastically; looked for when it is first needed. */
        private @Nullable MemorySegment rounding;

        StepLaunch(Rule rule, int kernel, long records, long chunks, int blocks, long partials, long reduced) {
            this.rule = rule;
            this.blocks = blocks;
            this.wide = (kernel & 2) != 0;
            this.staged = (kernel & 1) != 0;
            this.suffix = rule.name() + (wide ? "_float64_" : "_float32_") + kernel / 4;
            this.step = function("step_", staged);
            this.measure = rule.sums() == null ? MemorySegment.NULL : function("measure_", staged);
            this.arguments = new KernelArguments(arena, wide);
            arguments.pointers(records, chunks, 0, partials, reduced);
        }

        private MemorySegment function(String does, boolean stages) {
            return stages ? engine.function(CudaKernels.Source.STAGED, rule, "panoptim_staged_" + does + suffix)
                    : engine.function(CudaKernels.Source.STEP, rule, "panoptim_" + does + suffix);
        }

        /** The kernel of a step that rounds something stochastically, or not. */
        MemorySegment step(boolean stochastic) {
            if (!stochastic || wide || staged) {
                return step;
            }
            if (rounding == null) {
                rounding = function("step_", true);
            }
            return rounding;
        }
    }

    /** The arguments of the kernel that finishes a rule's sums, {@code FinishArguments} of {@code kernels/step.cu}. */
    private final class FinishLaunch {
        final MemorySegment function;
        final KernelArguments arguments;
        final int blocks;
        final RuleSums sums;

        FinishLaunch(Rule rule, RuleSums sums, long reductions, int blocks, long partials, long reduced) {
            this.function = engine.function(CudaKernels.Source.STEP, rule, "panoptim_finish_" + rule.name());
            this.blocks = blocks;
            this.sums = sums;
            this.arguments = new KernelArguments(arena, true);
            arguments.pointers(records, reductions, 0, partials, reduced);
        }
    }

    private @Nullable FinishLaunch finish(Rule rule, RuleSums sums, SumPlan plan) {
        if (launches.isEmpty() && sums.over() != Over.GLOBAL) {
            return null;
        }
        try (Arena temporary = Arena.ofConfined()) {
            long reductions = upload(TableImage.reductions(plan.groups(), temporary));
            long partials = launches.isEmpty() ? doubles(sums.sums().size()) : launches.getFirst().arguments.partials();
            long reduced = launches.isEmpty() ? doubles(sums.reduced().size()) : launches.getFirst().arguments.reduced();
            return new FinishLaunch(rule, sums, reductions, plan.groups().size(), partials, reduced);
        }
    }

    /** Gives the launches of one step to a stream: none of them waits for the CPU, nor the CPU for them. */
    void step(Rows rows, @Nullable CudaControl control, Extras extras, long stream) {
        int count = Math.min(rows.count(), Math.max(1, classCount()));
        if (count == 0) {
            return;
        }
        checkStillThere("Engine.step");
        CudaGraph graph = engine.capturing(stream);
        copyChanges(stream, graph != null);
        long device = graph != null ? graph.add(this, rows, count) : count <= mostRows ? 0 : copyRows(rows, count, stream);
        long block = control == null ? 0 : control.address();
        if (control != null && graph != null) {
            graph.add(control);
        }
        boolean stochastic = extras.has(Extras.Part.STOCHASTIC) && bfloat16 || extras.has(Extras.Part.COPY) && extras.stochasticCopy();
        StatisticLaunches squares = extras.has(Extras.Part.STATISTICS) ? statistics(count) : null;
        int given = 0;
        try {
            if (squares != null) {
                squares.before(extras.flags(), block, stream);
            }
            for (int i = 0; i < launches.size(); i++) {
                KernelArguments arguments = launches.get(i).arguments;
                arguments.rows(rows, count, device);
                arguments.extras(extras, block);
            }
            if (finish != null && (graph != null || finish.sums.isAskedByAny(rows, count))) { // a replay's rows may ask when these do not
                finish.arguments.rows(rows, count, device);
                finish.arguments.extras(extras, block);
                if (finish.sums.over() == Over.GLOBAL) {
                    given += finish(true, stream);
                }
                for (int i = 0; i < launches.size(); i++) {
                    StepLaunch launch = launches.get(i);
                    engine.launch(launch.measure, launch.blocks, launch.arguments.pointer(), stream);
                }
                given += finish(false, stream);
            }
            for (int i = 0; i < launches.size(); i++) {
                StepLaunch launch = launches.get(i);
                engine.launch(launch.step(stochastic), launch.blocks, launch.arguments.pointer(), stream);
                given++;
            }
            if (squares != null) {
                squares.after(stream);
                if (graph == null) {
                    squares.arrivals().order(stream);
                } else {
                    graph.add(squares.arrivals());
                }
            }
        } catch (CudaException failed) {
            throw given == 0 ? failed : failed.halfWay();
        }
    }

    /** Looks at the tensors only when memory has been freed since. */
    private void checkStillThere(String call) {
        long now = engine.closures();
        if (now != closures) {
            checkAccessible(call);
            closures = now;
        }
    }

    /** Changes when what a captured graph relies on does: which tensors take part, with which rows, and where they lie. */
    long version() {
        return version;
    }

    /** Refuses a replay over a table that is not as it was captured. */
    void checkUnchanged(String call, long captured) {
        enter(call);
        try {
            if (version != captured) {
                throw PanoptimException.invalid(call, "since the graph was captured a tensor has moved, or gained or lost its gradient or "
                        + "its class: a replay would not follow; capture it again");
            }
            checkStillThere(call);
        } finally {
            exit();
        }
    }

    private int finish(boolean before, long stream) {
        if (finish == null || finish.blocks == 0) {
            return 0;
        }
        finish.arguments.before(before);
        engine.launch(finish.function, finish.blocks, finish.arguments.pointer(), stream);
        return 1;
    }

    /** The same with sparse gradients, each of which is looked at before anything is written: this waits for the device. */
    void stepRows(Rule rowRule, List<RowGradient> gradients, Rows rows, long stream) {
        if (engine.capturing(stream) != null) {
            throw PanoptimException.unsupported("Engine.stepRows", "a step with sparse gradients cannot be captured: the CPU reads their "
                    + "indices");
        }
        if (sparse == null) {
            sparse = new CudaRows(engine, this, uploads, arena);
        }
        CudaRows.Prepared prepared = sparse.prepare(rowRule, gradients, stream);
        int count = Math.max(classCount(), gradients.stream().mapToInt(RowGradient::scalarClass).max().orElse(ABSENT) + 1);
        boolean dense = classCount() > 0;
        if (dense) {
            step(rows, null, Extras.NONE, stream);
        }
        try {
            copyChanges(stream, false);
            prepared.run(rows, count, count <= KernelArguments.MOST_DOUBLES ? 0 : copyRows(rows, count, stream), stream);
        } catch (CudaException failed) {
            throw failed.halfWay();
        }
    }

    /** Where a tensor's record lies on the device. */
    long record(int tensor) {
        return records + tensor * RECORD;
    }

    void map(MapOperation operation, long stream) {
        checkColumnsAccessible("Engine.map", operation.columns());
        copyChanges(stream, engine.capturing(stream) != null);
        columns().map(operation, stream);
    }

    Reduction.Result reduce(Reduction reduction, long stream) {
        checkColumnsAccessible("Engine.reduce", reduction.columns());
        copyChanges(stream, engine.capturing(stream) != null);
        return columns().reduce(reduction, stream);
    }

    /** Refuses gradients whose memory is closed. */
    void checkMeasurable(Reduction parts) {
        checkColumnsAccessible("Engine.measure", parts.columns());
    }

    /** Reduces the gradients to a number on the device, and finds out whether all are finite. */
    void measure(Reduction parts, boolean unscales, CudaControl control, long result, long stream) {
        enter("Engine.measure");
        try {
            CudaGraph graph = engine.capturing(stream);
            copyChanges(stream, graph != null);
            if (graph != null) {
                graph.add(this);
            }
            columns().reduce(parts, unscales ? control.address() : 0, control.nonfinite(), result, stream);
        } finally {
            exit();
        }
    }

    private StatisticLaunches statistics(int classes) {
        StatisticLaunches there = statistics;
        if (there == null || !there.isFor(classes)) {
            if (there != null) {
                there.close();
            }
            int bytes = IntStream.range(0, size()).anyMatch(tensor -> isWide(tensor) == 1) ? Double.BYTES : Float.BYTES;
            there = new StatisticLaunches(engine, columns().groups(), records, image.leafCount(), bytes, classes, memory, arena);
            statistics = there;
        }
        return there;
    }

    @Override
    public double[] statistics() {
        StatisticLaunches there = statistics;
        if (there == null) {
            throw PanoptimException.invalid("Table.statistics", "there was no step with statistics");
        }
        return engine.within("Table.statistics", () -> there.read(classCount()));
    }

    private ColumnLaunches columns() {
        if (columns == null) {
            long leaves = doubles(image.leafCount() + 1);
            columns = new ColumnLaunches(engine, grouped(image.columns(), this::isWide, (wide, chunks, blocks) ->
                    new ColumnLaunches.Group(engine, wide == 1 ? "float64" : "float32", chunks, blocks)), records, leaves, image.leafCount(), arena);
        }
        return columns;
    }

    /** Copies rows to the device, the rounded ones first, and says where they lie there. */
    private long copyRows(Rows rows, int count, long stream) {
        long bytes = count * KernelRows.BOTH;
        if (rowBufferRows < count) {
            rowBufferRows = Math.max(count, 2 * rowBufferRows);
            rowBuffer = memory.zeros(DType.UINT8, rowBufferRows * KernelRows.BOTH).address();
        }
        MemorySegment segment = uploads.take(bytes);
        KernelRows.write(rows, count, segment);
        engine.calls().copyToDevice(rowBuffer, segment, bytes, stream);
        uploads.given(stream);
        return rowBuffer;
    }

    /** Copies the records that have changed, neighbours together. */
    private void copyChanges(long given, boolean capturing) {
        if (changed.isEmpty()) {
            return;
        }
        long stream = capturing ? engine.sideStream() : given; // a replay must not copy what the CPU's memory has by then
        MemorySegment segment = uploads.take(changed.cardinality() * RECORD);
        long used = 0;
        int end;
        for (int first = changed.nextSetBit(0); first >= 0; first = changed.nextSetBit(end)) {
            end = changed.nextClearBit(first);
            long bytes = (end - first) * RECORD;
            MemorySegment.copy(image.records(), first * RECORD, segment, used, bytes);
            engine.calls().copyToDevice(records + first * RECORD, segment.asSlice(used, bytes), bytes, stream);
            used += bytes;
        }
        uploads.given(stream);
        if (capturing) {
            engine.calls().synchronize(stream);
        }
        changed.clear();
    }

    /** New device memory with what lies in a segment; waits until it is copied. */
    private long upload(MemorySegment segment) {
        if (segment.byteSize() == 0) {
            return 0;
        }
        long address = memory.zeros(DType.UINT8, segment.byteSize()).address();
        engine.calls().copyToDevice(address, segment, segment.byteSize(), engine.sideStream());
        engine.calls().synchronize(engine.sideStream());
        return address;
    }

    private long doubles(long count) {
        return count == 0 ? 0 : memory.zeros(DType.FLOAT64, count).address();
    }

    CudaEngine engine() {
        return engine;
    }

    @Override
    protected void pointed(int tensor, int column) {
        image.update(tensor, column);
        changed.set(tensor);
        version++;
    }

    @Override
    protected void classesChanged() {
        for (int i = 0; i < size(); i++) {
            if (image.updateClass(i)) {
                changed.set(i);
                version++;
            }
        }
    }

    @Override
    protected void free() {
        engine.within(() -> {
            memory.close();
            uploads.close();
            if (statistics != null) {
                statistics.close();
            }
            if (sparse != null) {
                sparse.close();
            }
        });
        arena.close();
    }
}
