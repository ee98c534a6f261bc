package io.panoptim.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.TestEngines;
import io.panoptim.engine.Column;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.TensorEntry;
import io.panoptim.ffi.panoptim_api;
import io.panoptim.ffi.panoptim_chunk;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.ffi.panoptim_map;
import io.panoptim.ffi.panoptim_record;
import io.panoptim.ffi.panoptim_reduce;
import io.panoptim.ffi.panoptim_table;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What the native library refuses of structures that this library would not write, before anything is written. */
@Tag("native")
class ColumnChecksTest {
    private static final MemorySegment NULL = MemorySegment.NULL;
    private static final MapOperation AXPY = MapOperation.axpy(Column.VALUE, 1, Column.STATE);
    private static final Reduction DOT = Reduction.dot(Column.VALUE, Column.STATE);

    private final Arena arena = Arena.ofShared();
    private CpuLibrary library;
    private MemorySegment pool;
    private CpuEngine engine;

    @BeforeEach
    void open() {
        engine = TestEngines.open(TestEngines.tiers().getFirst(), 1, 1);
        library = CpuLibrary.best(List.of(engine.isa()));
        MemorySegment created = arena.allocate(panoptim_h.C_POINTER);
        assertEquals(0, panoptim_api.pool_create.invoke(panoptim_api.pool_create(library.api()), 1, created));
        pool = created.get(panoptim_h.C_POINTER, 0);
    }

    @AfterEach
    void close() {
        panoptim_api.pool_destroy.invoke(panoptim_api.pool_destroy(library.api()), pool);
        engine.close();
        arena.close();
    }

    /** The structures of one call over two leaves, each to be spoilt. */
    private record Call(MemorySegment table, MemorySegment record, MemorySegment chunk, MemorySegment argument) {}

    private void refused(int code, String words, boolean maps, Consumer<Call> spoil) {
        Tensor value = Tensor.zeros(arena, DType.FLOAT32, 2048);
        Tensor state = Tensor.zeros(arena, DType.FLOAT32, 2048);
        state.set(0, 1);
        try (CpuTable table = (CpuTable) engine.table(List.of(new TensorEntry("w", value, null, List.of(state), 0)))) {
            MemorySegment struct = table.columnParts(AXPY.columns()).get().getFirst().subject();
            MemorySegment argument = maps ? table.fill(AXPY) : table.fill(DOT);
            Call call = new Call(struct, panoptim_table.records(struct).reinterpret(panoptim_record.sizeof()),
                    panoptim_table.chunks(struct).reinterpret(2 * panoptim_chunk.sizeof()), argument);
            assertEquals(0, call(maps, struct, argument));
            value.set(0, 0);
            spoil.accept(call);
            assertEquals(code, call(maps, struct, argument), words);
            MemorySegment text = arena.allocate(1024);
            panoptim_api.last_error.invoke(panoptim_api.last_error(library.api()), text, 1024);
            assertTrue(text.getString(0).startsWith((maps ? "map: " : "reduce: ") + words), text.getString(0));
            assertEquals(0, value.get(0), "nothing was written");
        }
    }

    private int call(boolean maps, MemorySegment table, MemorySegment argument) {
        return maps ? panoptim_api.map.invoke(panoptim_api.map(library.api()), pool, table, argument, NULL, NULL, NULL, NULL, NULL,
                NULL, NULL, NULL)
                : panoptim_api.reduce.invoke(panoptim_api.reduce(library.api()), pool, table, argument, NULL, NULL, NULL, NULL, NULL,
                NULL, NULL, NULL);
    }

    private void refusedByBoth(int code, String words, Consumer<Call> spoil) {
        refused(code, words, true, spoil);
        refused(code, words, false, spoil);
    }

    @Test
    void aTableThatIsNotOne() {
        int invalid = panoptim_h.PANOPTIM_INVALID();
        refusedByBoth(invalid, "a panoptim_table has 7 bytes for the caller", call -> panoptim_table.size(call.table, 7));
        refusedByBoth(invalid, "a panoptim_record has 8 bytes", call -> panoptim_table.record_size(call.table, 8));
        refusedByBoth(invalid, "a panoptim_chunk has 9 bytes", call -> panoptim_table.chunk_size(call.table, 9));
        refusedByBoth(invalid, "the records are null", call -> panoptim_table.records(call.table, NULL));
        refusedByBoth(invalid, "the chunks are null", call -> panoptim_table.chunks(call.table, NULL));
        refusedByBoth(invalid, "the chunks have 2048 elements, the table says 1", call -> panoptim_table.elements(call.table, 1));
        refusedByBoth(invalid, "chunk 0 is of tensor 1, and there are 1", call -> panoptim_chunk.tensor(call.chunk, 1));
        refusedByBoth(invalid, "chunk 0: 2000 elements from 0 on are not within [0, 1024)", call -> {
            panoptim_chunk.elements(call.chunk, 2000);
            panoptim_record.end(call.record, 1024);
        });
        refusedByBoth(invalid, "tensor 0: range [0, 4096) is not within its 2048 elements", call -> panoptim_record.end(call.record, 4096));
        refusedByBoth(invalid, "tensor 0: compute type 2 is neither", call -> panoptim_record.compute(call.record, (byte) 2));
    }

    @Test
    void columnsThatAreNone() {
        int invalid = panoptim_h.PANOPTIM_INVALID();
        refused(invalid, "column 18 is none", true, call -> panoptim_map.target(call.argument, 18));
        refused(invalid, "column 9 is none", true, call -> panoptim_map.source(call.argument, Column.SCALE + 1));
        refused(invalid, "column 70 is none", false, call -> panoptim_reduce.left(call.argument, 70));
        refused(invalid, "column 8 is none", false, call -> panoptim_reduce.right(call.argument, Column.SCALE));
        refused(invalid, "column 2 is target and source", true, call -> panoptim_map.target(call.argument, Column.STATE));
        refusedByBoth(invalid, "tensor 0: state slot 0 is shared by its elements", call -> panoptim_record.slots(call.record, (byte) 0));
        refusedByBoth(invalid, "tensor 0: the value at 0x", call -> panoptim_record.address(call.record, 0,
                panoptim_record.address(call.record, 0) + 1));
        refusedByBoth(panoptim_h.PANOPTIM_UNSUPPORTED(), "tensor 0: the CPU engine does not support a value of type float64 (1) with "
                + "float32 compute", call -> panoptim_record.dtype(call.record, 0, (byte) DType.FLOAT64.ordinal()));
        refusedByBoth(panoptim_h.PANOPTIM_UNSUPPORTED(), "tensor 0: the CPU engine does not support a state slot 0 of type unknown (99)",
                call -> panoptim_record.dtype(call.record, Column.STATE, (byte) 99));
    }

    @Test
    void operationsAndReductionsThatAreNone() {
        int invalid = panoptim_h.PANOPTIM_INVALID();
        refused(invalid, "operation 6 is unknown", true, call -> panoptim_map.kind(call.argument, 6));
        refused(invalid, "reduction 4 is unknown", false, call -> panoptim_reduce.kind(call.argument, 4));
        refused(invalid, "a panoptim_map has 3 bytes", true, call -> panoptim_map.size(call.argument, 3));
        refused(invalid, "a panoptim_reduce has 3 bytes", false, call -> panoptim_reduce.size(call.argument, 3));
    }

    @Test
    void leavesThatHaveNoPlaceOrAreCut() {
        int invalid = panoptim_h.PANOPTIM_INVALID();
        refused(invalid, "the leaves are null", false, call -> panoptim_reduce.leaves(call.argument, NULL));
        refused(invalid, "tensor 0 has no place for its leaves", false, call -> panoptim_reduce.leaf_count(call.argument, 1));
        refused(invalid, "tensor 0 has no place for its leaves", false, call -> panoptim_record.leaf(call.record, -1));
        refused(invalid, "tensor 0: a chunk of 1024 elements from 0 on is not made of whole leaves", false,
                call -> panoptim_record.origin(call.record, 1));
        refused(invalid, "tensor 0: a chunk of 1000 elements from 0 on is not made of whole leaves", false,
                call -> panoptim_chunk.elements(call.chunk, 1000));
        refused(invalid, "tensor 0: a chunk of 1024 elements from 1 on is not made of whole leaves", false,
                call -> panoptim_chunk.start(call.chunk, 1));
    }
}
