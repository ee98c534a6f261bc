package io.panoptim.engine.cpu;

import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A native call over consecutive items of work, which lie in no more arenas than it can guard; nearly always all of them.
 *
 * @param subject the native structure that says which items
 * @param guards one segment for each arena, which stays open during the call; then NULLs
 */
record GuardedCall(MemorySegment subject, MemorySegment[] guards) {
    /** How many guards a native call takes. */
    private static final int GUARDS = 8;

    private static final Class<?> AUTOMATIC = Arena.ofAuto().scope().getClass();
    private static final Class<?> GLOBAL = Arena.global().scope().getClass();

    /** What items work on. */
    interface Items {
        /** Names an item's tensors; null for those that it does not have. */
        void tensors(long item, Consumer<@Nullable Tensor> each);
    }

    /** Makes the structure for some items. */
    interface Subject {
        MemorySegment of(long first, long end);
    }

    /** As few calls as possible over all of some items, in order; at least one. */
    static List<GuardedCall> cut(long count, Items items, Subject subject) {
        List<GuardedCall> calls = new ArrayList<>();
        Map<MemorySegment.Scope, MemorySegment> arenas = new LinkedHashMap<>();
        Consumer<@Nullable Tensor> guard = tensor -> {
            if (tensor != null && isCloseable(tensor.segment())) {
                arenas.putIfAbsent(tensor.segment().scope(), tensor.segment());
            }
        };
        long first = 0;
        for (long item = 0; item < count; item++) {
            int before = arenas.size();
            items.tensors(item, guard);
            if (arenas.size() > GUARDS && item > first) {
                calls.add(new GuardedCall(subject.of(first, item), padded(arenas, before)));
                first = item;
                arenas.clear();
                items.tensors(item, guard);
            }
        }
        calls.add(new GuardedCall(subject.of(first, count), padded(arenas, arenas.size())));
        return calls;
    }

    private static MemorySegment[] padded(Map<MemorySegment.Scope, MemorySegment> arenas, int count) {
        if (count > GUARDS) {
            throw new IllegalStateException("one tensor lies in more arenas than a native call takes guards");
        }
        MemorySegment[] padded = new MemorySegment[GUARDS];
        Arrays.fill(padded, MemorySegment.NULL);
        Iterator<MemorySegment> segments = arenas.values().iterator();
        for (int i = 0; i < count; i++) {
            padded[i] = segments.next();
        }
        return padded;
    }

    /** Whether one call can guard all of some tensors. */
    static boolean guards(Stream<Tensor> tensors) {
        return tensors.map(Tensor::segment).filter(GuardedCall::isCloseable).map(MemorySegment::scope).distinct().limit(GUARDS + 1)
                .count() <= GUARDS;
    }

    /** Memory of the global and of automatic arenas lives as long as what refers to it. */
    private static boolean isCloseable(MemorySegment segment) {
        Class<?> scope = segment.scope().getClass();
        return scope != AUTOMATIC && scope != GLOBAL;
    }

    /** Whether a segment needs no guard, or has one. */
    boolean covers(MemorySegment segment) {
        if (!isCloseable(segment)) {
            return true;
        }
        for (MemorySegment guard : guards) {
            if (guard.scope().equals(segment.scope())) {
                return true;
            }
        }
        return false;
    }
}
