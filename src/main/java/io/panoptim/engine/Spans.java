package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Tensor;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.TreeMap;

/** The ranges of memory in use by a table or a plan, on one device: finds overlaps in time that grows with what changed. */
final class Spans {
    /** A tensor at the range it occupies, and what it is there for. */
    private record Span(Tensor tensor, Object what) {
        long end() {
            return tensor.address() + tensor.bytes();
        }

        /** Memory that was freed may have been given to another tensor since. */
        boolean gone() {
            return !tensor.isAlive();
        }
    }

    private static final Object NATIVE = new Object();

    /** Native memory, and each heap array, is an address space of its own. */
    private final Map<Object, NavigableMap<Long, Span>> spaces = new IdentityHashMap<>();

    /** Takes a tensor's range, or leaves everything as it was and returns what lies there already. */
    Optional<Object> add(Tensor tensor, Object what) {
        if (tensor.bytes() == 0) {
            return Optional.empty();
        }
        Optional<Object> there = under(tensor);
        if (there.isEmpty()) {
            spaces.computeIfAbsent(space(tensor), key -> new TreeMap<>()).put(tensor.address(), new Span(tensor, what));
        }
        return there;
    }

    /** Takes a tensor's range, or refuses and leaves everything as it was. */
    void take(String call, Tensor tensor, Object what) {
        Optional<Object> there = add(tensor, what);
        if (there.isPresent()) {
            throw PanoptimException.invalid(call, what + " overlaps " + there.get()
                    + ": each needs memory of its own (the same segment given as two parameters is one, tied, parameter)");
        }
    }

    /** What lies in a tensor's range, if anything does. */
    Optional<Object> under(Tensor tensor) {
        NavigableMap<Long, Span> space = spaces.get(space(tensor));
        if (space == null || tensor.bytes() == 0) {
            return Optional.empty();
        }
        long end = tensor.address() + tensor.bytes();
        Map.Entry<Long, Span> before = space.lowerEntry(end);
        while (before != null && before.getValue().end() > tensor.address()) {
            if (!before.getValue().gone()) {
                return Optional.of(before.getValue().what);
            }
            space.remove(before.getKey());
            before = space.lowerEntry(end);
        }
        return Optional.empty();
    }

    void remove(Tensor tensor) {
        NavigableMap<Long, Span> space = spaces.get(space(tensor));
        if (space != null && space.containsKey(tensor.address()) && space.get(tensor.address()).tensor == tensor) {
            space.remove(tensor.address());
        }
    }

    private static Object space(Tensor tensor) {
        return tensor.device().kind() == Device.Kind.CPU ? tensor.segment().heapBase().orElse(NATIVE) : NATIVE;
    }
}
