package io.panoptim.engine;

import io.panoptim.ffi.panoptim_chunk;
import io.panoptim.ffi.panoptim_record;
import io.panoptim.ffi.panoptim_table;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.stream.IntStream;

/** A table as the C structures of {@code kernels/table.h}: read in place on the CPU, copied to other devices. */
public final class TableImage {
    private static final long RECORD = panoptim_record.sizeof();
    private static final long CHUNK = panoptim_chunk.sizeof();

    private final Table table;
    private final ChunkPlan plan;
    private final MemorySegment records;
    private final MemorySegment chunks;

    /** Writes the records and chunks of a table into an arena. */
    public TableImage(Table table, int chunkElements, Arena arena) {
        this.table = table;
        this.plan = ChunkPlan.of(ranges(table), chunkElements);
        this.records = panoptim_record.allocateArray(table.size(), arena);
        this.chunks = panoptim_chunk.allocateArray(plan.size(), arena);
        for (int i = 0; i < table.size(); i++) {
            writeRecord(i);
        }
        for (int i = 0; i < plan.size(); i++) {
            MemorySegment chunk = chunks.asSlice(i * CHUNK, CHUNK);
            panoptim_chunk.tensor(chunk, plan.tensors()[i]);
            panoptim_chunk.start(chunk, plan.starts()[i]);
            panoptim_chunk.elements(chunk, plan.lengths()[i]);
        }
    }

    public ChunkPlan plan() {
        return plan;
    }

    /** Copies the address and type of one column of a tensor from the table. */
    public void update(int tensor, int column) {
        MemorySegment record = record(tensor);
        Tensor place = table.tensor(tensor, column);
        panoptim_record.address(record, column, place == null ? 0 : place.address());
        panoptim_record.dtype(record, column, (byte) (place == null ? 0 : place.dtype().ordinal()));
    }

    /** Copies all classes from the table. */
    public void updateClasses() {
        for (int i = 0; i < table.size(); i++) {
            panoptim_record.scalar_class(record(i), table.classOf(i));
        }
    }

    /** A {@code panoptim_table} over some consecutive chunks. */
    public MemorySegment over(int firstChunk, int chunkCount, Arena arena) {
        MemorySegment struct = panoptim_table.allocate(arena);
        panoptim_table.size(struct, (int) panoptim_table.sizeof());
        panoptim_table.rule(struct, table.rule().ordinal());
        panoptim_table.record_size(struct, (int) RECORD);
        panoptim_table.chunk_size(struct, (int) CHUNK);
        panoptim_table.records(struct, records);
        panoptim_table.chunks(struct, chunks.asSlice(firstChunk * CHUNK));
        panoptim_table.record_count(struct, table.size());
        panoptim_table.chunk_count(struct, chunkCount);
        panoptim_table.elements(struct, IntStream.range(firstChunk, firstChunk + chunkCount)
                .mapToLong(i -> plan.lengths()[i]).sum());
        panoptim_table.epoch(struct, table.epoch());
        return struct;
    }

    private void writeRecord(int tensor) {
        TensorEntry entry = table.entry(tensor);
        MemorySegment record = record(tensor);
        for (int column = 0; column < Column.COUNT; column++) {
            update(tensor, column);
        }
        panoptim_record.slots(record, (byte) entry.states().size());
        panoptim_record.compute(record, (byte) entry.value().dtype().computeType().ordinal());
        panoptim_record.scalar_class(record, table.classOf(tensor));
        panoptim_record.elements(record, entry.value().elements());
        panoptim_record.origin(record, entry.origin());
        long[] shape = entry.value().shape();
        long columns = shape.length < 2 ? entry.value().elements() : shape[shape.length - 1];
        panoptim_record.rows(record, columns == 0 ? 0 : entry.value().elements() / columns);
        panoptim_record.columns(record, columns);
        panoptim_record.begin(record, entry.begin());
        panoptim_record.end(record, entry.end());
        panoptim_record.id(record, entry.id());
    }

    private MemorySegment record(int tensor) {
        return records.asSlice(tensor * RECORD, RECORD);
    }

    private static List<ChunkPlan.Range> ranges(Table table) {
        return IntStream.range(0, table.size()).mapToObj(table::entry)
                .map(entry -> new ChunkPlan.Range(entry.origin(), entry.begin(), entry.end())).toList();
    }
}
