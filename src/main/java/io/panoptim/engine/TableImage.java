package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.ffi.panoptim_chunk;
import io.panoptim.ffi.panoptim_record;
import io.panoptim.ffi.panoptim_reduction;
import io.panoptim.ffi.panoptim_table;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** A table as the C structures of {@code kernels/table.h}: read in place on the CPU, copied to other devices. */
public final class TableImage {
    private static final long RECORD = panoptim_record.sizeof();
    private static final long CHUNK = panoptim_chunk.sizeof();

    /**
     * Pieces of work.
     *
     * @param plan which ones
     * @param segment the same as {@code panoptim_chunk[]}
     * @param sums whether work over them finishes the rule's sums
     */
    public record Chunks(ChunkPlan plan, MemorySegment segment, boolean sums) {}

    private final Table table;
    private final int ruleNumber;
    private final Chunks steps;
    private final Chunks columns;
    private final MemorySegment records;
    private final long leafCount;
    private final @Nullable SumPlan sums;
    private final Arena arena;
    /** On the CPU, once they are asked for. */
    private MemorySegment partials = MemorySegment.NULL;
    private MemorySegment reduced = MemorySegment.NULL;

    /**
     * Writes the records and chunks of a table into an arena.
     *
     * @param ruleNumber by which the engine knows the table's rule; -1 where it has none
     */
    public TableImage(Table table, int ruleNumber, int chunkElements, Arena arena) {
        this.table = table;
        this.ruleNumber = ruleNumber;
        this.arena = arena;
        this.sums = table.sums();
        RuleSums rule = table.rule() == null ? null : table.rule().sums();
        ChunkPlan whole = ChunkPlan.of(ranges(table, false), chunkElements);
        this.columns = new Chunks(whole, chunks(whole, arena), false);
        boolean byRow = rule != null && rule.over() == RuleSums.Over.ROW;
        ChunkPlan plan = byRow ? ChunkPlan.of(ranges(table, true), chunkElements) : whole;
        this.steps = new Chunks(plan, byRow ? chunks(plan, arena) : columns.segment, true);
        this.records = panoptim_record.allocateArray(table.size(), arena);
        long leaf = 0;
        for (int i = 0; i < table.size(); i++) {
            writeRecord(i, leaf);
            leaf += Math.ceilDiv(table.entry(i).end() - table.entry(i).begin(), ChunkPlan.LEAF);
        }
        this.leafCount = leaf;
    }

    private static MemorySegment chunks(ChunkPlan plan, Arena arena) {
        MemorySegment chunks = panoptim_chunk.allocateArray(plan.size(), arena);
        for (int i = 0; i < plan.size(); i++) {
            MemorySegment chunk = chunks.asSlice(i * CHUNK, CHUNK);
            panoptim_chunk.tensor(chunk, plan.tensors()[i]);
            panoptim_chunk.start(chunk, plan.starts()[i]);
            panoptim_chunk.elements(chunk, plan.lengths()[i]);
        }
        return chunks;
    }

    /** How many leaves all tensors have: what is reduced over columns needs as many places. */
    public long leafCount() {
        return leafCount;
    }

    /** The chunks of a step, whose rule may take whole rows together. */
    public Chunks steps() {
        return steps;
    }

    /** The chunks of the verbs over columns. */
    public Chunks columns() {
        return columns;
    }

    /** Copies the address and type of one column of a tensor from the table. */
    public void update(int tensor, int column) {
        MemorySegment record = record(tensor);
        Tensor place = table.tensor(tensor, column);
        panoptim_record.address(record, column, place == null ? 0 : place.address());
        StateCode code = table.entry(tensor).code(column);
        panoptim_record.dtype(record, column, (byte) (place == null ? 0 : code == null ? place.dtype().ordinal() : code.number()));
    }

    /** Copies the class of a tensor from the table, and says whether it was another one. */
    public boolean updateClass(int tensor) {
        MemorySegment record = record(tensor);
        boolean changed = panoptim_record.scalar_class(record) != table.classOf(tensor);
        panoptim_record.scalar_class(record, table.classOf(tensor));
        return changed;
    }

    /** A {@code panoptim_table} over some consecutive chunks. */
    public MemorySegment over(Chunks chunks, int firstChunk, int chunkCount, Arena arena) {
        MemorySegment struct = panoptim_table.allocate(arena);
        panoptim_table.size(struct, (int) panoptim_table.sizeof());
        panoptim_table.rule(struct, ruleNumber);
        panoptim_table.record_size(struct, (int) RECORD);
        panoptim_table.chunk_size(struct, (int) CHUNK);
        panoptim_table.records(struct, records);
        panoptim_table.chunks(struct, chunks.segment.asSlice(firstChunk * CHUNK));
        panoptim_table.record_count(struct, table.size());
        panoptim_table.chunk_count(struct, chunkCount);
        panoptim_table.elements(struct, IntStream.range(firstChunk, firstChunk + chunkCount)
                .mapToLong(i -> chunks.plan.lengths()[i]).sum());
        panoptim_table.epoch(struct, table.epoch());
        if (sums != null && chunks.sums) {
            List<SumPlan.Group> groups = groups(sums, chunks.plan, firstChunk, chunkCount);
            allocateSums();
            panoptim_table.reductions(struct, reductions(groups, arena));
            panoptim_table.reduction_count(struct, groups.size());
            panoptim_table.partials(struct, partials);
            panoptim_table.leaf_count(struct, sums.leafCount());
            panoptim_table.reduced(struct, reduced);
            panoptim_table.reduced_count(struct, sums.reducedCount());
        }
        return struct;
    }

    private void allocateSums() {
        RuleSums rule = table.rule() == null ? null : table.rule().sums();
        if (sums != null && rule != null && partials.equals(MemorySegment.NULL)) {
            partials = arena.allocate(ValueLayout.JAVA_DOUBLE, sums.leafCount() * rule.sums().size());
            reduced = arena.allocate(ValueLayout.JAVA_DOUBLE, sums.reducedCount() * rule.reduced().size());
        }
    }

    /** All tensors' {@code panoptim_record[]}. */
    public MemorySegment records() {
        return records;
    }

    /** What the rule's sums are finished in, {@code panoptim_reduction[]}. */
    public static MemorySegment reductions(List<SumPlan.Group> groups, Arena arena) {
        MemorySegment reductions = panoptim_reduction.allocateArray(groups.size(), arena);
        for (int i = 0; i < groups.size(); i++) {
            write(groups.get(i), panoptim_reduction.asSlice(reductions, i));
        }
        return reductions;
    }

    private void writeRecord(int tensor, long leaf) {
        TensorEntry entry = table.entry(tensor);
        MemorySegment record = record(tensor);
        for (int column = 0; column < Column.COUNT; column++) {
            update(tensor, column);
        }
        panoptim_record.slots(record, (byte) table.slots(tensor));
        panoptim_record.compute(record, (byte) entry.value().dtype().computeType().ordinal());
        panoptim_record.scalar_class(record, table.classOf(tensor));
        panoptim_record.elements(record, entry.value().elements());
        panoptim_record.origin(record, entry.origin());
        if (sums != null) {
            SumPlan.Place place = sums.places().get(tensor);
            panoptim_record.rows(record, place.rows());
            panoptim_record.columns(record, place.columns());
            panoptim_record.reduced(record, place.reduced());
            panoptim_record.partials(record, place.leaf());
        } else {
            panoptim_record.rows(record, 1);
            panoptim_record.columns(record, entry.end() - entry.begin());
        }
        panoptim_record.begin(record, entry.begin());
        panoptim_record.end(record, entry.end());
        panoptim_record.id(record, entry.id());
        panoptim_record.leaf(record, leaf);
    }

    private MemorySegment record(int tensor) {
        return records.asSlice(tensor * RECORD, RECORD);
    }

    /** What some consecutive chunks finish; a group with chunks elsewhere cannot be finished with these alone. */
    private List<SumPlan.Group> groups(SumPlan sums, ChunkPlan plan, int firstChunk, int chunkCount) {
        Set<Integer> tensors = IntStream.range(firstChunk, firstChunk + chunkCount).mapToObj(i -> plan.tensors()[i])
                .collect(Collectors.toSet());
        boolean all = chunkCount == plan.size();
        List<SumPlan.Group> groups = new ArrayList<>();
        for (SumPlan.Group group : sums.groups()) {
            long here = group.members().stream().filter(tensors::contains).count();
            if (!all && here > 0 && here < group.members().size()) {
                throw PanoptimException.unsupported("Table", "the tensors over which " + table.rule() + " takes sums lie in more "
                        + "arenas than one call can keep open: allocate them from fewer arenas");
            }
            if (all || here > 0) {
                groups.add(group);
            }
        }
        return groups;
    }

    private static void write(SumPlan.Group group, MemorySegment reduction) {
        panoptim_reduction.leaves(reduction, group.leaf());
        panoptim_reduction.rows(reduction, group.rows());
        panoptim_reduction.row_leaves(reduction, group.rowLeaves());
        panoptim_reduction.columns(reduction, group.columns());
        panoptim_reduction.reduced(reduction, group.reduced());
        panoptim_reduction.tensor(reduction, group.members().getFirst());
    }

    private static List<ChunkPlan.Piecewise> ranges(Table table, boolean byRow) {
        return IntStream.range(0, table.size()).mapToObj(table::entry).<ChunkPlan.Piecewise>map(entry ->
                byRow ? new ChunkPlan.RowRange(entry.rows(), entry.value().elements() / entry.rows())
                        : new ChunkPlan.Range(entry.origin(), entry.begin(), entry.end())).toList();
    }
}
