package io.panoptim.engine.cuda;

import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Reduction;
import io.panoptim.ffi.panoptim_h;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/** The launches over whole columns of a table: one for each compute type, and for reductions one that finishes them. */
final class ColumnLaunches {
    private static final long SIZE = 88; // of ColumnArguments in kernels/columns.cu, whose fields these are:
    private static final long RECORDS = 0;
    private static final long CHUNKS = 8;
    private static final long LEAVES = 16;
    private static final long RESULT = 24;
    private static final long LEAF_COUNT = 32;
    private static final long KIND = 40;
    private static final long TARGET = 44;
    private static final long SOURCE = 48;
    private static final long A = 56;
    private static final long B = 64;
    private static final long CONTROL = 72;
    private static final long NONFINITE = 80;

    /**
     * Chunks of one compute type, and the kernels for it.
     *
     * @param chunks on the device
     */
    record Group(MemorySegment map, MemorySegment reduce, MemorySegment statistics, long chunks, int blocks) {
        Group(CudaEngine engine, String type, long chunks, int blocks) {
            this(kernel(engine, "map_" + type), kernel(engine, "reduce_" + type), kernel(engine, "statistics_" + type), chunks, blocks);
        }
    }

    private final CudaEngine engine;
    private final List<Group> groups;
    private final MemorySegment finishSum;
    private final MemorySegment finishLargest;
    private final MemorySegment arguments;
    private final MemorySegment pointer;

    /** @param leaves as many as the table has, and behind them the result */
    ColumnLaunches(CudaEngine engine, List<Group> groups, long records, long leaves, long leafCount, Arena arena) {
        this.engine = engine;
        this.groups = groups;
        this.finishSum = kernel(engine, "finish_sum");
        this.finishLargest = kernel(engine, "finish_largest");
        this.arguments = arena.allocate(SIZE, 8);
        this.pointer = arena.allocate(ValueLayout.ADDRESS);
        pointer.set(ValueLayout.ADDRESS, 0, arguments);
        arguments.set(ValueLayout.JAVA_LONG, RECORDS, records);
        arguments.set(ValueLayout.JAVA_LONG, LEAVES, leaves);
        arguments.set(ValueLayout.JAVA_LONG, LEAF_COUNT, leafCount);
    }

    List<Group> groups() {
        return groups;
    }

    static MemorySegment kernel(CudaEngine engine, String name) {
        return engine.function(CudaKernels.Source.COLUMNS, null, "panoptim_" + name);
    }

    void map(MapOperation operation, long stream) {
        write(operation.kind().ordinal(), operation.target(), operation.source());
        arguments.set(ValueLayout.JAVA_DOUBLE, A, operation.a());
        arguments.set(ValueLayout.JAVA_DOUBLE, B, operation.b());
        for (int i = 0; i < groups.size(); i++) {
            launch(groups.get(i), groups.get(i).map, stream);
        }
    }

    Reduction.Result reduce(Reduction reduction, long stream) {
        long result = arguments.get(ValueLayout.JAVA_LONG, LEAVES) + arguments.get(ValueLayout.JAVA_LONG, LEAF_COUNT) * Double.BYTES;
        reduce(reduction, 0, 0, result, stream);
        return engine.results().of(result, stream);
    }

    /**
     * The same on the device.
     *
     * @param control the block whose inverse scale is the factor instead, or 0
     * @param nonfinite where it is said that an element was infinite or NaN, or 0
     * @param result where the result goes
     */
    void reduce(Reduction reduction, long control, long nonfinite, long result, long stream) {
        int kind = switch (reduction.kind()) {
            case DOT -> panoptim_h.PANOPTIM_REDUCE_DOT();
            case NORM -> reduction.p() == 1 ? panoptim_h.PANOPTIM_REDUCE_ABSOLUTE_SUM() : panoptim_h.PANOPTIM_REDUCE_POWER();
            case ABSOLUTE_MAXIMUM -> panoptim_h.PANOPTIM_REDUCE_ABSOLUTE_MAXIMUM();
        };
        boolean dot = reduction.kind() == Reduction.Kind.DOT;
        write(kind, reduction.left(), dot ? reduction.right() : reduction.left());
        arguments.set(ValueLayout.JAVA_DOUBLE, A, reduction.factor());
        arguments.set(ValueLayout.JAVA_DOUBLE, B, reduction.p());
        arguments.set(ValueLayout.JAVA_LONG, CONTROL, control);
        arguments.set(ValueLayout.JAVA_LONG, NONFINITE, nonfinite);
        arguments.set(ValueLayout.JAVA_LONG, RESULT, result);
        for (int i = 0; i < groups.size(); i++) {
            launch(groups.get(i), groups.get(i).reduce, stream);
        }
        engine.launch(reduction.kind() == Reduction.Kind.ABSOLUTE_MAXIMUM ? finishLargest : finishSum, 1, pointer, stream);
    }

    private void write(int kind, int target, int source) {
        arguments.set(ValueLayout.JAVA_INT, KIND, kind);
        arguments.set(ValueLayout.JAVA_INT, TARGET, target);
        arguments.set(ValueLayout.JAVA_INT, SOURCE, source);
    }

    private void launch(Group group, MemorySegment kernel, long stream) {
        arguments.set(ValueLayout.JAVA_LONG, CHUNKS, group.chunks);
        engine.launch(kernel, group.blocks, pointer, stream);
    }
}
