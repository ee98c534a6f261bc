package io.panoptim.engine.cpu;

import io.panoptim.engine.Column;
import io.panoptim.engine.HostMemory;
import io.panoptim.engine.RowGradient;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.ffi.panoptim_row_gradient;
import io.panoptim.ffi.panoptim_row_step;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The sparse gradients of one step as the native library reads them, the workspace in which it sorts their indices, and the
 * arenas that must stay open while it does. Memory is kept from step to step and grows as needed.
 */
final class CpuRows implements AutoCloseable {
    private static final long GRADIENT = panoptim_row_gradient.sizeof();
    private static final long STEP = panoptim_row_step.sizeof();
    /** What an engine needs in order to sort one index, in int64s. */
    private static final int WORKSPACE = 4;

    private final CpuTable table;
    private List<GuardedCall> parts = List.of();
    private @Nullable HostMemory memory;
    private MemorySegment gradients = MemorySegment.NULL;
    private MemorySegment steps = MemorySegment.NULL;
    private MemorySegment workspace = MemorySegment.NULL;

    CpuRows(CpuTable table) {
        this.table = table;
    }

    /** What to call the native library with, in order. */
    List<GuardedCall> parts() {
        return parts;
    }

    void fill(int ruleNumber, List<RowGradient> given) {
        reserve(given.size(), given.stream().mapToLong(row -> WORKSPACE * row.gradient().count()).sum());
        long used = 0;
        for (int i = 0; i < given.size(); i++) {
            MemorySegment place = workspace.asSlice(used * Long.BYTES);
            write(gradients.asSlice(i * GRADIENT, GRADIENT), given.get(i), place);
            used += WORKSPACE * given.get(i).gradient().count();
        }
        parts = GuardedCall.cut(given.size(), (i, each) -> tensors(given.get((int) i), each), (first, end) -> step(ruleNumber, first, end));
    }

    private void reserve(int count, long words) {
        long places = gradients.byteSize() / GRADIENT;
        long room = workspace.byteSize() / Long.BYTES;
        if (memory == null || places < count || room < words) {
            close();
            memory = new HostMemory();
            places = Math.max(places, count);
            gradients = memory.zeros(DType.UINT8, places * GRADIENT).segment();
            steps = memory.zeros(DType.UINT8, places * STEP).segment();
            workspace = memory.zeros(DType.INT64, room < words ? Math.max(words, 2 * room) : room).segment();
        }
    }

    private void write(MemorySegment struct, RowGradient given, MemorySegment place) {
        Tensor value = table.entry(given.tensor()).value();
        long rows = value.shape()[0];
        panoptim_row_gradient.tensor(struct, given.tensor());
        panoptim_row_gradient.scalar_class(struct, given.scalarClass());
        panoptim_row_gradient.rows(struct, rows);
        panoptim_row_gradient.columns(struct, rows == 0 ? 0 : value.elements() / rows);
        panoptim_row_gradient.indices(struct, given.gradient().indices().segment());
        panoptim_row_gradient.values(struct, given.gradient().values().segment());
        panoptim_row_gradient.count(struct, given.gradient().count());
        panoptim_row_gradient.dtype(struct, (byte) given.gradient().values().dtype().ordinal());
        panoptim_row_gradient.flags(struct, (given.negated() ? panoptim_h.PANOPTIM_NEGATE() : 0)
                | (given.summed() ? panoptim_h.PANOPTIM_SUM() : 0));
        panoptim_row_gradient.moving(struct, given.moving() == null ? MemorySegment.NULL : given.moving().segment());
        panoptim_row_gradient.workspace(struct, place);
    }

    private void tensors(RowGradient given, Consumer<@Nullable Tensor> each) {
        for (int column = 0; column < Column.COUNT; column++) {
            each.accept(table.tensor(given.tensor(), column));
        }
        each.accept(given.gradient().indices());
        each.accept(given.gradient().values());
        each.accept(given.moving());
    }

    /** A {@code panoptim_row_step} over some gradients. */
    private MemorySegment step(int ruleNumber, long first, long end) {
        MemorySegment step = steps.asSlice(first * STEP, STEP);
        panoptim_row_step.size(step, (int) STEP);
        panoptim_row_step.rule(step, ruleNumber);
        panoptim_row_step.gradient_size(step, (int) GRADIENT);
        panoptim_row_step.gradients(step, gradients.asSlice(first * GRADIENT));
        panoptim_row_step.gradient_count(step, end - first);
        return step;
    }

    @Override
    public void close() {
        if (memory != null) {
            memory.close();
            memory = null;
        }
        gradients = steps = workspace = MemorySegment.NULL;
    }
}
