package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.engine.ChunkPlan;
import io.panoptim.engine.Extras;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.ffi.panoptim_chunk;
import io.panoptim.ffi.panoptim_record;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Steps over some rows of a table's tensors. The indices are copied to the CPU, which checks and sorts them: this waits for the device.
 * On the device each row becomes a record of its own, and the ordinary kernels step these.
 */
final class CudaRows {
    private static final long RECORD = panoptim_record.sizeof();
    private static final long CHUNK = panoptim_chunk.sizeof();
    private static final int PIECE = 32 * ChunkPlan.LEAF;
    private static final long ITEM = 24; // of RowItem in kernels/rows.cu
    private static final long SIZE = 88; // of RowArguments there

    /** One gradient, with its rows in order. */
    private static final class Sorted {
        final RowGradient given;
        final long columns;
        final boolean wide;
        final int slots;
        /** Rows that are stepped, and for each where its places begin; one more at the end. */
        long[] rows = {};
        int[] first = {0};
        /** Of the indices, by row and then in their order. */
        long[] places = {};

        Sorted(CudaTable table, RowGradient given) {
            Tensor value = table.entry(given.tensor()).value();
            this.given = given;
            this.columns = value.shape()[0] == 0 ? 0 : value.elements() / value.shape()[0];
            this.wide = value.dtype().computeType() == DType.FLOAT64;
            this.slots = table.slots(given.tensor());
        }

        int pieces() {
            return Math.toIntExact(Math.ceilDiv(columns, PIECE));
        }

        void sort(Tensor indices, long count) {
            long[] keys = new long[Math.toIntExact(indices.elements())];
            for (int i = 0; i < keys.length; i++) {
                keys[i] = Math.addExact(Math.multiplyExact((long) indices.get(i), (long) keys.length), i);
            }
            Arrays.sort(keys);
            places = new long[keys.length];
            rows = new long[keys.length];
            first = new int[keys.length + 1];
            int distinct = 0;
            for (int i = 0; i < keys.length; i++) {
                long row = keys[i] / keys.length;
                places[i] = keys[i] % keys.length;
                if (distinct == 0 || rows[distinct - 1] != row) {
                    first[distinct] = i;
                    rows[distinct++] = row;
                }
            }
            rows = Arrays.copyOf(rows, distinct);
            first = Arrays.copyOf(first, distinct + 1);
            first[distinct] = keys.length;
            assert distinct == 0 || rows[distinct - 1] < count;
        }

        /** Adds the rows that move without a gradient, and marks those that will. */
        void move(Tensor words) {
            for (long row : rows) {
                words.segment().set(ValueLayout.JAVA_LONG, row / 64 * 8, words.segment().get(ValueLayout.JAVA_LONG, row / 64 * 8) | 1L << row % 64);
            }
            long[] all = new long[Math.toIntExact(moving(words))];
            int[] begins = new int[all.length + 1];
            int next = 0;
            int given = 0;
            for (long word = 0; word < words.elements(); word++) {
                for (long bits = words.segment().getAtIndex(ValueLayout.JAVA_LONG, word); bits != 0; bits &= bits - 1) {
                    all[next] = word * 64 + Long.numberOfTrailingZeros(bits);
                    begins[next] = first[given];
                    given += given < rows.length && rows[given] == all[next] ? 1 : 0;
                    next++;
                }
            }
            begins[next] = first[given];
            rows = all;
            first = begins;
        }

        private static long moving(Tensor words) {
            long count = 0;
            for (long word = 0; word < words.elements(); word++) {
                count += Long.bitCount(words.segment().getAtIndex(ValueLayout.JAVA_LONG, word));
            }
            return count;
        }

        int repeats(int item) {
            return first[item + 1] - first[item];
        }

        /** How often rows are stepped at most. */
        int passes() {
            int most = rows.length == 0 ? 0 : 1;
            for (int item = 0; item < rows.length && !given.summed(); item++) {
                most = Math.max(most, repeats(item));
            }
            return most;
        }
    }

    private final CudaEngine engine;
    private final CudaTable table;
    private final UploadRing uploads;
    private final KernelArguments narrow;
    private final KernelArguments wide;
    private final MemorySegment arguments;
    private final MemorySegment pointer;
    private @Nullable CudaMemory memory;
    private long scratch;
    private long scratchBytes;

    CudaRows(CudaEngine engine, CudaTable table, UploadRing uploads, Arena arena) {
        this.engine = engine;
        this.table = table;
        this.uploads = uploads;
        this.narrow = new KernelArguments(arena, false);
        this.wide = new KernelArguments(arena, true);
        this.arguments = arena.allocate(SIZE, 8);
        this.pointer = arena.allocate(ValueLayout.ADDRESS);
        pointer.set(ValueLayout.ADDRESS, 0, arguments);
    }

    /** What is to be done, after all of it has been looked at. */
    final class Prepared {
        private final Rule rule;
        private final List<Sorted> gradients = new ArrayList<>();

        private Prepared(Rule rule) {
            this.rule = rule;
        }

        /** Gives the steps to a stream; the rows lie on the device or, with 0, among the kernels' arguments. */
        void run(Rows rows, int count, long onDevice, long stream) {
            for (Sorted sorted : gradients) {
                Tensor moving = sorted.given.moving();
                if (moving != null) {
                    try (Arena temporary = Arena.ofConfined()) {
                        Tensor words = Tensor.zeros(temporary, DType.INT64, moving.elements());
                        engine.copy(moving, words, new Stream(stream));
                        sorted.move(words);
                        engine.copy(words, moving, new Stream(stream));
                    }
                }
                for (int pass = 0; pass < sorted.passes(); pass++) {
                    CudaRows.this.run(rule, sorted, pass, rows, count, onDevice, stream);
                }
            }
        }
    }

    /** Sorts the indices, or refuses them. */
    Prepared prepare(Rule rule, List<RowGradient> given, long stream) {
        if (rule.id() < 0) {
            throw PanoptimException.unsupported("Engine.stepRows", "the cuda engine does not run rules of a user's own yet, such as " + rule);
        }
        Prepared prepared = new Prepared(rule);
        try (Arena temporary = Arena.ofConfined()) {
            for (RowGradient gradient : given) {
                Sorted sorted = new Sorted(table, gradient);
                long count = table.entry(gradient.tensor()).value().shape()[0];
                Tensor indices = Tensor.zeros(temporary, DType.INT64, gradient.gradient().count());
                engine.copy(gradient.gradient().indices(), indices, new Stream(stream));
                SparseGradient.checkIndices("Engine.stepRows '" + table.entry(gradient.tensor()).name() + "'", indices, count);
                sorted.sort(indices, count);
                DType type = table.entry(gradient.tensor()).value().dtype();
                if (sorted.passes() > 1 && type.bytes() < DType.FLOAT32.bytes()) { // else each part would be rounded on its own
                    throw PanoptimException.unsupported("Engine.stepRows", "the cuda engine does not use what a repeated index of '"
                            + table.entry(gradient.tensor()).name() + "' has one after another in " + type + ": add it up first");
                }
                prepared.gradients.add(sorted);
            }
        }
        return prepared;
    }

    /** One step of each row, with all of its gradient or with the next part of it. */
    private void run(Rule rule, Sorted sorted, int pass, Rows rows, int count, long onDevice, long stream) {
        boolean summed = sorted.given.summed();
        int[] items = IntStream.range(0, sorted.rows.length).filter(item -> pass == 0 || sorted.repeats(item) > pass).toArray();
        if (items.length == 0 || sorted.columns == 0) {
            return;
        }
        long size = sorted.wide ? 8 : 4;
        long blocks = (long) items.length * sorted.pieces();
        long placesAt = items.length * ITEM;
        long uploaded = placesAt + sorted.places.length * 8L;
        long recordsAt = up(uploaded);
        long chunksAt = up(recordsAt + items.length * RECORD);
        long gradientsAt = up(chunksAt + blocks * CHUNK);
        long base = scratch(gradientsAt + items.length * sorted.columns * size);

        MemorySegment segment = uploads.take(uploaded);
        for (int i = 0; i < items.length; i++) {
            int repeats = sorted.repeats(items[i]);
            segment.set(ValueLayout.JAVA_LONG, i * ITEM, sorted.rows[items[i]]);
            segment.set(ValueLayout.JAVA_LONG, i * ITEM + 8, sorted.first[items[i]] + (summed ? 0 : pass));
            segment.set(ValueLayout.JAVA_LONG, i * ITEM + 16, summed ? repeats : Math.min(repeats, 1));
        }
        MemorySegment.copy(sorted.places, 0, segment, ValueLayout.JAVA_LONG, placesAt, sorted.places.length);
        engine.calls().copyToDevice(base, segment, uploaded, stream);
        uploads.given(stream);

        long[] addresses = {table.record(sorted.given.tensor()), base + recordsAt, base + chunksAt, base, base + placesAt,
            sorted.given.gradient().values().address(), base + gradientsAt, sorted.columns};
        MemorySegment.copy(addresses, 0, arguments, ValueLayout.JAVA_LONG, 0, addresses.length);
        int[] numbers = {PIECE, sorted.pieces(), sorted.given.scalarClass(), sorted.given.gradient().values().dtype().ordinal(),
            sorted.given.negated() ? 1 : 0};
        MemorySegment.copy(numbers, 0, arguments, ValueLayout.JAVA_INT, addresses.length * 8L, numbers.length);
        String type = sorted.wide ? "float64" : "float32";
        engine.launch(engine.function(CudaKernels.Source.ROWS, null, "panoptim_rows_" + type), items.length, pointer, stream);

        KernelArguments step = sorted.wide ? wide : narrow;
        step.pointers(base + recordsAt, base + chunksAt, 0, 0, 0);
        step.rows(rows, count, onDevice);
        step.extras(Extras.NONE, 0);
        engine.launch(engine.function(CudaKernels.Source.STEP, rule, "panoptim_step_" + rule.name() + "_" + type + "_" + sorted.slots),
                Math.toIntExact(blocks), step.pointer(), stream);
    }

    private static long up(long offset) {
        return Math.ceilDiv(offset, 128L) * 128;
    }

    /** Device memory whose content matters until the next launches of the same stream only. */
    private long scratch(long bytes) {
        if (memory == null || scratchBytes < bytes) {
            close();
            memory = engine.memory("sparse gradients");
            scratchBytes = Math.max(bytes, 2 * scratchBytes);
            scratch = memory.zeros(DType.UINT8, scratchBytes).address();
        }
        return scratch;
    }

    void close() {
        if (memory != null) {
            memory.close();
            memory = null;
        }
    }
}
