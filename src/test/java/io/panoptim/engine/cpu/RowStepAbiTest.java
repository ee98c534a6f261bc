package io.panoptim.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Extras;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.SparseSgdRow;
import io.panoptim.engine.TensorEntry;
import io.panoptim.ffi.panoptim_api;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.ffi.panoptim_row_gradient;
import io.panoptim.ffi.panoptim_row_step;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The native library trusts no caller: what Java refuses, it refuses too, before anything is written. */
@Tag("native")
class RowStepAbiTest {
    private static final int BOTH = panoptim_h.PANOPTIM_PREPARE() | panoptim_h.PANOPTIM_APPLY();

    private final Arena arena = Arena.ofShared();
    private final Rows rows = new Rows(1).set(0, SparseSgdRow.STEP_SIZE, -1);
    private CpuLibrary library;
    private CpuEngine engine;
    private MemorySegment pool;
    private CpuTable table;
    private Tensor value;
    private MemorySegment step;
    private MemorySegment gradient;

    @BeforeEach
    void open() {
        engine = TestEngines.open(TestEngines.tiers().getFirst(), 1, 1);
        library = CpuLibrary.load(engine.isa(), new ArrayList<>()).orElseThrow();
        MemorySegment created = arena.allocate(ValueLayout.ADDRESS);
        library.check("pool", panoptim_api.pool_create.invoke(panoptim_api.pool_create(library.api()), 1, created));
        pool = created.get(ValueLayout.ADDRESS, 0);
        value = Tensor.zeros(arena, DType.FLOAT32, 3, 2);
        table = (CpuTable) engine.table(Rule.SGD, List.of(new TensorEntry("w", value, null, List.of(), 0)));
        Tensor indices = Tensor.of(arena.allocateFrom(ValueLayout.JAVA_LONG, 2, 0, 2), DType.INT64, 3);
        Tensor values = Tensor.of(arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1, 2, 3, 4, 5, 6), DType.FLOAT32, 3, 2);
        RowGradient sparse = new RowGradient(0, 0, new SparseGradient(indices, values), false, true, null);
        CpuRows filled = table.rows(Rule.SPARSE_SGD.id(), List.of(sparse));
        step = filled.parts().getFirst().subject();
        gradient = panoptim_row_step.gradients(step).reinterpret(panoptim_row_gradient.sizeof());
    }

    @AfterEach
    void close() {
        table.close();
        panoptim_api.pool_destroy.invoke(panoptim_api.pool_destroy(library.api()), pool);
        engine.close();
        arena.close();
    }

    private void run(int phases) {
        panoptim_row_step.phases(step, phases);
        MemorySegment none = MemorySegment.NULL;
        library.check("test", panoptim_api.step_rows.invoke(panoptim_api.step_rows(library.api()), pool, table.recordsOnly(),
                table.fill(rows, null, Extras.NONE), step, none, none, none, none, none, none, none, none));
    }

    private void refused(Code code, String words, Consumer<MemorySegment> change) {
        byte[] stepBefore = step.toArray(ValueLayout.JAVA_BYTE);
        byte[] gradientBefore = gradient.toArray(ValueLayout.JAVA_BYTE);
        change.accept(gradient);
        PanoptimException refusal = assertThrows(PanoptimException.class, () -> run(BOTH));
        assertTrue(refusal.getMessage().contains(words), refusal.getMessage());
        assertEquals(code, refusal.code());
        assertEquals(List.of(0.0, 0.0, 0.0, 0.0, 0.0, 0.0), values());
        MemorySegment.copy(stepBefore, 0, step, ValueLayout.JAVA_BYTE, 0, stepBefore.length);
        MemorySegment.copy(gradientBefore, 0, gradient, ValueLayout.JAVA_BYTE, 0, gradientBefore.length);
    }

    private List<Double> values() {
        return LongStream.range(0, 6).mapToObj(value::get).toList();
    }

    @Test
    void wrongStructuresAreRefused() {
        refused(Code.INVALID, "a panoptim_row_step has 3 bytes for the caller", g -> panoptim_row_step.size(step, 3));
        refused(Code.INVALID, "a panoptim_row_gradient has 3 bytes for the caller", g -> panoptim_row_step.gradient_size(step, 3));
        refused(Code.INVALID, "rule 99 is unknown", g -> panoptim_row_step.rule(step, 99));
        refused(Code.INVALID, "the sparse gradients are null", g -> panoptim_row_step.gradients(step, MemorySegment.NULL));
        refused(Code.INVALID, "a sparse gradient is of tensor 1, and there are 1", g -> panoptim_row_gradient.tensor(g, 1));
        refused(Code.INVALID, "tensor 0 is of class 1, and there are 1 rows", g -> panoptim_row_gradient.scalar_class(g, 1));
        refused(Code.INVALID, "tensor 0 is of class -1", g -> panoptim_row_gradient.scalar_class(g, -1));
        refused(Code.INVALID, "rule sparse_adam does not have 0 state slots",
                g -> panoptim_row_step.rule(step, Rule.SPARSE_ADAM.id()));
        refused(Code.UNSUPPORTED, "rule lamb takes sums", g -> panoptim_row_step.rule(step, Rule.LAMB.id()));
        refused(Code.UNSUPPORTED, "values do not decay in some rows only", g -> rows.keep(0, 0.5));
        rows.keep(0, 1);
        refused(Code.INVALID, "its 6 elements are not 4 rows of 2", g -> panoptim_row_gradient.rows(g, 4));
        refused(Code.INVALID, "its 6 elements are not 3 rows of 0", g -> panoptim_row_gradient.columns(g, 0));
        refused(Code.INVALID, "are not 3 rows of", g -> panoptim_row_gradient.columns(g, 2 + (1L << 63)));
        refused(Code.INVALID, "tensor 0 has no indices", g -> panoptim_row_gradient.indices(g, MemorySegment.NULL));
        refused(Code.INVALID, "tensor 0 has no sparse gradient", g -> panoptim_row_gradient.values(g, MemorySegment.NULL));
        refused(Code.INVALID, "tensor 0 has no workspace", g -> panoptim_row_gradient.workspace(g, MemorySegment.NULL));
        refused(Code.INVALID, "the indices at", g -> panoptim_row_gradient.indices(g, MemorySegment.ofAddress(12)));
        refused(Code.INVALID, "the moving rows at", g -> panoptim_row_gradient.moving(g, MemorySegment.ofAddress(12)));
        refused(Code.UNSUPPORTED, "a sparse gradient of type float64 (1) with float32 compute",
                g -> panoptim_row_gradient.dtype(g, (byte) 1));
        refused(Code.UNSUPPORTED, "a sparse gradient of type int64 (5)", g -> panoptim_row_gradient.dtype(g, (byte) 5));
        refused(Code.INVALID, "index 2, at 0, is not one of the 1 rows", g -> {
            panoptim_row_gradient.rows(g, 1);
            panoptim_row_gradient.columns(g, 6);
        });
    }

    @Test
    void preparingWritesNothingAndApplyingUsesWhatWasPrepared() {
        run(panoptim_h.PANOPTIM_PREPARE());
        assertEquals(List.of(0.0, 0.0, 0.0, 0.0, 0.0, 0.0), values());
        assertEquals(2, panoptim_row_gradient.distinct(gradient));
        run(panoptim_h.PANOPTIM_APPLY());
        assertEquals(List.of(-3.0, -4.0, 0.0, 0.0, -6.0, -8.0), values());
    }
}
