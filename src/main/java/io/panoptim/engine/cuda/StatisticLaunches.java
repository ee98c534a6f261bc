package io.panoptim.engine.cuda;

import io.panoptim.ffi.panoptim_h;
import io.panoptim.engine.ChunkPlan;
import io.panoptim.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/** The launches that take the statistics of a step: before it, after it, and what finishes them. */
final class StatisticLaunches {
    private static final long SIZE = 72; // of StatisticArguments in kernels/columns.cu, whose fields these are:
    private static final long RECORDS = 0;
    private static final long CHUNKS = 8;
    private static final long CONTROL = 16;
    private static final long BEFORE = 24;
    private static final long LEAVES = 32;
    private static final long CLASSES = 40;
    private static final long SUMS = 48;
    private static final long LEAF_COUNT = 56;
    private static final long EXTRAS = 64;
    private static final long AFTER = 68;

    private static final long SUMS_OF_CLASS = panoptim_h.PANOPTIM_STATISTIC_SUMS();

    private final CudaEngine engine;
    private final List<ColumnLaunches.Group> groups;
    private final MemorySegment finish;
    private final MemorySegment arguments;
    private final MemorySegment pointer;
    private final int classes;
    private final Arrivals arrivals;

    /**
     * Of a table whose values, at their widest, take so many bytes.
     *
     * @param classes how many there are at most
     */
    StatisticLaunches(CudaEngine engine, List<ColumnLaunches.Group> groups, long records, long leafCount, int valueBytes, int classes,
                      CudaMemory memory, Arena arena) {
        this.engine = engine;
        this.groups = groups;
        this.classes = classes;
        this.finish = ColumnLaunches.kernel(engine, "finish_statistics");
        this.arguments = arena.allocate(SIZE, 8);
        this.pointer = arena.allocate(ValueLayout.ADDRESS);
        pointer.set(ValueLayout.ADDRESS, 0, arguments);
        long sums = memory.zeros(DType.FLOAT64, classes * SUMS_OF_CLASS).address();
        arguments.set(ValueLayout.JAVA_LONG, RECORDS, records);
        arguments.set(ValueLayout.JAVA_LONG, BEFORE, memory.zeros(DType.UINT8, leafCount * ChunkPlan.LEAF * valueBytes).address());
        arguments.set(ValueLayout.JAVA_LONG, LEAVES, memory.zeros(DType.FLOAT64, leafCount * SUMS_OF_CLASS).address());
        arguments.set(ValueLayout.JAVA_LONG, CLASSES, memory.zeros(DType.UINT8, leafCount * Integer.BYTES).address());
        arguments.set(ValueLayout.JAVA_LONG, SUMS, sums);
        arguments.set(ValueLayout.JAVA_LONG, LEAF_COUNT, leafCount);
        this.arrivals = new Arrivals(engine, sums, arena.allocate(ValueLayout.JAVA_DOUBLE, classes * SUMS_OF_CLASS));
    }

    boolean isFor(int count) {
        return count <= classes;
    }

    void before(int extras, long control, long stream) {
        arguments.set(ValueLayout.JAVA_INT, EXTRAS, extras);
        arguments.set(ValueLayout.JAVA_LONG, CONTROL, control);
        launch(0, stream);
    }

    /** Follows the step. */
    void after(long stream) {
        launch(1, stream);
        engine.launch(finish, classes, pointer, stream);
    }

    private void launch(int after, long stream) {
        arguments.set(ValueLayout.JAVA_INT, AFTER, after);
        for (int i = 0; i < groups.size(); i++) {
            arguments.set(ValueLayout.JAVA_LONG, CHUNKS, groups.get(i).chunks());
            engine.launch(groups.get(i).statistics(), groups.get(i).blocks(), pointer, stream);
        }
    }

    Arrivals arrivals() {
        return arrivals;
    }

    /** Of the first classes: waits for the device. */
    double[] read(int count) {
        return arrivals.awaited().asSlice(0, count * SUMS_OF_CLASS * Double.BYTES).toArray(ValueLayout.JAVA_DOUBLE);
    }

    void close() {
        arrivals.close();
    }
}
