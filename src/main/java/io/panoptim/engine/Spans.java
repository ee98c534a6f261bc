package io.panoptim.engine;

import io.panoptim.tensor.Tensor;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.TreeMap;

/** The ranges of memory in use by a table, on one device: finds overlaps in time that grows with what changed. */
final class Spans {
    /** A range of addresses and what lies there. */
    private record Span(long end, String what) {}

    private static final Object NATIVE = new Object();

    /** Native memory, and each heap array, is an address space of its own. */
    private final Map<Object, NavigableMap<Long, Span>> spaces = new IdentityHashMap<>();

    /** Takes a tensor's range, or leaves everything as it was and returns what lies there already. */
    Optional<String> add(Tensor tensor, String what) {
        if (tensor.bytes() == 0) {
            return Optional.empty();
        }
        NavigableMap<Long, Span> space = spaces.computeIfAbsent(space(tensor), key -> new TreeMap<>());
        long begin = tensor.address();
        long end = begin + tensor.bytes();
        Map.Entry<Long, Span> before = space.lowerEntry(end);
        if (before != null && before.getValue().end > begin) {
            return Optional.of(before.getValue().what);
        }
        space.put(begin, new Span(end, what));
        return Optional.empty();
    }

    void remove(Tensor tensor) {
        if (tensor.bytes() > 0) {
            spaces.get(space(tensor)).remove(tensor.address());
        }
    }

    private static Object space(Tensor tensor) {
        return tensor.owner() == null ? tensor.segment().heapBase().orElse(NATIVE) : NATIVE;
    }
}
