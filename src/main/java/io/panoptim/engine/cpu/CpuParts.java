package io.panoptim.engine.cpu;

import io.panoptim.engine.ChunkPlan;
import io.panoptim.engine.Column;
import io.panoptim.engine.TableImage;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.IntPredicate;

/** The native calls that one verb takes over a table, and the arenas that must stay open during each. */
final class CpuParts {
    /** How many guards a native call takes. */
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

    private final CpuTable table;
    private final TableImage image;
    private final TableImage.Chunks chunks;
    private final IntPredicate touched;
    private final int columns;
    private final Set<MemorySegment.Scope> guarded = new HashSet<>();
    private List<Part> parts = List.of();
    private boolean valid;

    /**
     * @param touched which tensors the verb works on
     * @param columns what it touches of them, by bit
     */
    CpuParts(CpuTable table, TableImage image, TableImage.Chunks chunks, IntPredicate touched, int columns) {
        this.table = table;
        this.image = image;
        this.chunks = chunks;
        this.touched = touched;
        this.columns = columns;
    }

    /** What to call the native library with, in order. */
    List<Part> get() {
        if (!valid) {
            parts = cut();
            valid = true;
        }
        return parts;
    }

    /** Forgets the guards, which may name arenas that are no longer used. */
    void renew() {
        valid = false;
    }

    /** What the verb touches, by bit. */
    int columns() {
        return columns;
    }

    /** A column of a tensor has moved. */
    void pointed(int tensor, int column) {
        Tensor place = table.tensor(tensor, column);
        valid &= (columns >> column & 1) == 0 || place == null || !closeable(place.segment())
                || parts.size() == 1 && guarded.contains(place.segment().scope());
    }

    private List<Part> cut() {
        ChunkPlan plan = chunks.plan();
        List<Part> cut = new ArrayList<>();
        List<MemorySegment> guards = new ArrayList<>();
        guarded.clear();
        int first = 0;
        for (int chunk = 0; chunk < plan.size(); chunk++) {
            int tensor = plan.tensors()[chunk];
            if (chunk > first && tensor == plan.tensors()[chunk - 1] || !touched.test(tensor)) {
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
            Tensor place = (columns >> column & 1) == 0 ? null : table.tensor(tensor, column);
            if (place != null && closeable(place.segment()) && seen.add(place.segment().scope())) {
                segments.add(place.segment());
            }
        }
        return segments;
    }

    /** Memory of the global and of automatic arenas lives as long as the table refers to it. */
    static boolean closeable(MemorySegment segment) {
        Class<?> scope = segment.scope().getClass();
        return scope != AUTOMATIC && scope != GLOBAL;
    }

    private Part part(int first, int end, List<MemorySegment> guards) {
        return new Part(image.over(chunks, first, end - first, Arena.ofAuto()), padded(guards));
    }

    /** As many guards as a native call takes. */
    static MemorySegment[] padded(List<MemorySegment> guards) {
        if (guards.size() > GUARDS) {
            throw new IllegalStateException("one tensor lies in more arenas than a native call takes guards");
        }
        MemorySegment[] padded = new MemorySegment[GUARDS];
        for (int i = 0; i < GUARDS; i++) {
            padded[i] = i < guards.size() ? guards.get(i) : MemorySegment.NULL;
        }
        return padded;
    }
}
