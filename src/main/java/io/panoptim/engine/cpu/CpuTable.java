package io.panoptim.engine.cpu;

import io.panoptim.engine.ChunkPlan;
import io.panoptim.engine.Column;
import io.panoptim.engine.Extras;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Table;
import io.panoptim.engine.TableImage;
import io.panoptim.engine.TensorEntry;
import io.panoptim.ffi.panoptim_extras;
import io.panoptim.ffi.panoptim_row;
import io.panoptim.ffi.panoptim_step;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** A table as the native library reads it, and the arenas that must stay open while it does. */
final class CpuTable extends Table {
    /** How many guards a native step takes. */
    static final int GUARDS = 8;

    private static final Class<?> AUTOMATIC = Arena.ofAuto().scope().getClass();
    private static final Class<?> GLOBAL = Arena.global().scope().getClass();

    /**
     * Consecutive chunks whose tensors lie in no more arenas than a native call can guard; nearly always all of them.
     *
     * @param table a {@code panoptim_table}
     * @param guards one segment for each arena, then NULLs
     */
    record Part(MemorySegment table, MemorySegment[] guards) {}

    private final Arena arena = Arena.ofShared();
    private final TableImage image;
    private final MemorySegment step;
    private final MemorySegment stepExtras;
    private final Set<MemorySegment.Scope> guarded = new HashSet<>();
    private List<Part> parts = List.of();
    private boolean partsValid;
    private final CpuRows rows = new CpuRows(this);
    private final MemorySegment recordsOnly;

    CpuTable(CpuEngine engine, Rule rule, int ruleNumber, List<TensorEntry> entries, int chunkElements) {
        super(engine, false, rule, entries);
        this.image = new TableImage(this, ruleNumber, chunkElements, arena);
        this.step = panoptim_step.allocate(arena);
        this.stepExtras = panoptim_step.extras(step);
        panoptim_step.size(step, (int) panoptim_step.sizeof());
        panoptim_step.row_size(step, (int) panoptim_row.sizeof());
        panoptim_step.ring(step, 1);
        this.recordsOnly = image.over(0, 0, arena);
    }

    /** Fills in the {@code panoptim_step} of the coming call. */
    MemorySegment fill(Rows rows, Extras extras) {
        panoptim_step.classes(step, rows.count());
        panoptim_step.rows(step, rows.segment());
        panoptim_extras.flags(stepExtras, extras.flags());
        return step;
    }

    /** What to call the native library with, in order. */
    List<Part> parts() {
        if (!partsValid) {
            parts = cut();
            partsValid = true;
        }
        return parts;
    }

    /** Forgets the guards, which may name arenas that are no longer used. */
    void renewGuards() {
        partsValid = false;
    }

    /** The sparse gradients of the coming call. */
    CpuRows rows(Rule rule, List<RowGradient> gradients) {
        rows.fill(rule, gradients);
        return rows;
    }

    /** A {@code panoptim_table} without chunks, for steps over rows. */
    MemorySegment recordsOnly() {
        return recordsOnly;
    }

    void checkAccessible() {
        checkAccessible("Engine.step");
    }

    @Override
    protected void pointed(int tensor, int column) {
        image.update(tensor, column);
        Tensor place = tensor(tensor, column);
        partsValid &= place == null || !closeable(place.segment())
                || parts.size() == 1 && guarded.contains(place.segment().scope());
    }

    @Override
    protected void classesChanged() {
        image.updateClasses();
        partsValid = false;
    }

    @Override
    protected void free() {
        arena.close();
        rows.close();
    }

    private List<Part> cut() {
        ChunkPlan plan = image.plan();
        List<Part> cut = new ArrayList<>();
        List<MemorySegment> guards = new ArrayList<>();
        guarded.clear();
        int first = 0;
        for (int chunk = 0; chunk < plan.size(); chunk++) {
            int tensor = plan.tensors()[chunk];
            if (chunk > first && tensor == plan.tensors()[chunk - 1] || classOf(tensor) == ABSENT) {
                continue;
            }
            List<MemorySegment> more = unguarded(tensor);
            if (guards.size() + more.size() > GUARDS) {
                cut.add(part(first, chunk, guards));
                first = chunk;
                guards.clear();
                guarded.clear();
                more = unguarded(tensor);
            }
            more.forEach(segment -> guarded.add(segment.scope()));
            guards.addAll(more);
        }
        cut.add(part(first, plan.size(), guards));
        return cut;
    }

    /** One segment for each arena of a tensor's columns that is not guarded yet. */
    private List<MemorySegment> unguarded(int tensor) {
        List<MemorySegment> segments = new ArrayList<>();
        Set<MemorySegment.Scope> seen = new HashSet<>(guarded);
        for (int column = 0; column < Column.COUNT; column++) {
            Tensor place = tensor(tensor, column);
            if (place != null && closeable(place.segment()) && seen.add(place.segment().scope())) {
                segments.add(place.segment());
            }
        }
        return segments;
    }

    /** Memory of the global and of automatic arenas lives as long as this table refers to it. */
    static boolean closeable(MemorySegment segment) {
        Class<?> scope = segment.scope().getClass();
        return scope != AUTOMATIC && scope != GLOBAL;
    }

    private Part part(int first, int end, List<MemorySegment> guards) {
        return new Part(image.over(first, end - first, Arena.ofAuto()), padded(guards));
    }

    /** As many guards as a native step takes. */
    static MemorySegment[] padded(List<MemorySegment> guards) {
        if (guards.size() > GUARDS) {
            throw new IllegalStateException("one tensor lies in more arenas than a native step takes guards");
        }
        MemorySegment[] padded = new MemorySegment[GUARDS];
        for (int i = 0; i < GUARDS; i++) {
            padded[i] = i < guards.size() ? guards.get(i) : MemorySegment.NULL;
        }
        return padded;
    }
}
