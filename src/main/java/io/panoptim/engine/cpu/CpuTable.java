package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Extras;
import io.panoptim.engine.HostControl;
import io.panoptim.engine.HostEngine;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Table;
import io.panoptim.engine.TableImage;
import io.panoptim.engine.TensorEntry;
import io.panoptim.ffi.panoptim_extras;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.ffi.panoptim_map;
import io.panoptim.ffi.panoptim_reduce;
import io.panoptim.ffi.panoptim_row;
import io.panoptim.ffi.panoptim_step;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A table as the native library reads it, with the arguments of the calls over it. */
final class CpuTable extends Table {
    private static final int ALL_COLUMNS = -1;
    private static final int STATISTICS = panoptim_h.PANOPTIM_STATISTIC_SUMS();

    /** Of the last reduction. */
    final HostEngine.Total total = new HostEngine.Total(0, true);
    private final Arena arena = Arena.ofShared();
    private final TableImage image;
    private final MemorySegment step;
    private final MemorySegment stepExtras;
    private final MemorySegment map;
    private final CpuParts stepParts;
    /** By the columns that a verb works on, by bit. */
    private final Map<Integer, CpuParts> columnParts = new HashMap<>();
    private @Nullable MemorySegment reduce;
    private @Nullable MemorySegment statistics;
    private final CpuRows rows = new CpuRows(this);
    private final MemorySegment recordsOnly;

    CpuTable(CpuEngine engine, @Nullable Rule rule, int ruleNumber, List<TensorEntry> entries, int chunkElements) {
        super(engine, false, rule, entries);
        this.image = new TableImage(this, ruleNumber, chunkElements, arena);
        this.stepParts = new CpuParts(this, image, image.steps(), tensor -> classOf(tensor) != ABSENT, ALL_COLUMNS);
        this.step = panoptim_step.allocate(arena);
        this.stepExtras = panoptim_step.extras(step);
        panoptim_step.size(step, (int) panoptim_step.sizeof());
        panoptim_step.row_size(step, (int) panoptim_row.sizeof());
        panoptim_step.ring(step, 1);
        this.map = panoptim_map.allocate(arena);
        panoptim_map.size(map, (int) panoptim_map.sizeof());
        this.recordsOnly = image.over(image.steps(), 0, 0, arena);
    }

    /** Fills in the {@code panoptim_step} of the coming call. */
    MemorySegment fill(Rows rows, @Nullable HostControl control, Extras extras) {
        panoptim_step.classes(step, rows.count());
        panoptim_step.rows(step, rows.segment());
        panoptim_step.control(step, control == null ? MemorySegment.NULL : control.segment());
        panoptim_extras.flags(stepExtras, extras.flags());
        panoptim_extras.copy_rounding(stepExtras, extras.stochasticCopy() ? 1 : 0);
        if (extras.has(Extras.Part.STATISTICS)) {
            allocateStatistics(rows.count());
        }
        return step;
    }

    private void allocateStatistics(int classes) {
        if (statistics == null) {
            panoptim_extras.statistic_leaves(stepExtras, arena.allocate(ValueLayout.JAVA_DOUBLE, image.leafCount() * STATISTICS));
        }
        if (statistics == null || statistics.byteSize() < (long) classes * STATISTICS * Double.BYTES) {
            MemorySegment grown = arena.allocate(ValueLayout.JAVA_DOUBLE, (long) classes * STATISTICS);
            if (statistics != null) { // of a step that has taken place, which the coming one may not
                grown.copyFrom(statistics);
            }
            statistics = grown;
            panoptim_extras.statistics(stepExtras, statistics);
        }
    }

    @Override
    public double[] statistics() {
        if (statistics == null) {
            throw PanoptimException.invalid("Table.statistics", "there was no step with statistics");
        }
        return statistics.toArray(ValueLayout.JAVA_DOUBLE);
    }

    /** Fills in the {@code panoptim_map} of the coming call. */
    MemorySegment fill(MapOperation operation) {
        panoptim_map.kind(map, operation.kind().ordinal());
        panoptim_map.target(map, operation.target());
        panoptim_map.source(map, operation.source());
        panoptim_map.a(map, operation.a());
        panoptim_map.b(map, operation.b());
        return map;
    }

    /** Fills in the {@code panoptim_reduce} of the coming call: a dot product, an absolute maximum, or the sum of a norm's powers. */
    MemorySegment fill(Reduction reduction) {
        if (reduce == null) {
            reduce = panoptim_reduce.allocate(arena);
            panoptim_reduce.size(reduce, (int) panoptim_reduce.sizeof());
            panoptim_reduce.leaf_count(reduce, image.leafCount());
            panoptim_reduce.leaves(reduce, arena.allocate(ValueLayout.JAVA_DOUBLE, image.leafCount()));
        }
        panoptim_reduce.kind(reduce, switch (reduction.kind()) {
            case DOT -> panoptim_h.PANOPTIM_REDUCE_DOT();
            case NORM -> reduction.p() == 1 ? panoptim_h.PANOPTIM_REDUCE_ABSOLUTE_SUM() : panoptim_h.PANOPTIM_REDUCE_POWER();
            case ABSOLUTE_MAXIMUM -> panoptim_h.PANOPTIM_REDUCE_ABSOLUTE_MAXIMUM();
        });
        panoptim_reduce.left(reduce, reduction.left());
        panoptim_reduce.right(reduce, reduction.right());
        panoptim_reduce.factor(reduce, reduction.factor());
        panoptim_reduce.p(reduce, reduction.p());
        panoptim_reduce.nonfinite(reduce, 0);
        return reduce;
    }

    /** The sparse gradients of the coming call. */
    CpuRows rows(int ruleNumber, List<RowGradient> gradients) {
        rows.fill(ruleNumber, gradients);
        return rows;
    }

    /** A {@code panoptim_table} without chunks, for steps over rows. */
    MemorySegment recordsOnly() {
        return recordsOnly;
    }

    /** The calls that a step takes. */
    CpuParts stepParts() {
        return stepParts;
    }

    /** The calls that a verb over columns takes. */
    CpuParts columnParts(int columns) {
        CpuParts parts = columnParts.get(columns);
        if (parts == null) {
            parts = new CpuParts(this, image, image.columns(), tensor -> has(tensor, columns), columns);
            columnParts.put(columns, parts);
        }
        return parts;
    }

    /** Refuses when the memory that a call works on is closed, or another thread's. */
    void checkAccessible(CpuParts parts, String call) {
        if (parts == stepParts) {
            checkAccessible(call);
        } else {
            checkColumnsAccessible(call, parts.columns());
        }
    }

    @Override
    protected void pointed(int tensor, int column) {
        image.update(tensor, column);
        stepParts.pointed(tensor, column);
        columnParts.values().forEach(parts -> parts.pointed(tensor, column));
    }

    @Override
    protected void classesChanged() {
        boolean changed = false;
        for (int i = 0; i < size(); i++) {
            changed |= image.updateClass(i);
        }
        if (changed) {
            stepParts.renew();
        }
    }

    @Override
    protected void free() {
        arena.close();
        rows.close();
    }
}
