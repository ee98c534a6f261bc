package io.panoptim.engine.cpu;

import io.panoptim.tensor.Tensor;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The native calls over some items of work whose memory moves between calls; cut anew only when there is a call to make. */
final class GuardedCalls {
    private final long count;
    private final GuardedCall.Items items;
    private final GuardedCall.Subject subject;
    private List<GuardedCall> calls = List.of();
    private boolean valid;

    /**
     * @param subject in memory of its own each time, since there may be any number of cuts
     */
    GuardedCalls(long count, GuardedCall.Items items, GuardedCall.Subject subject) {
        this.count = count;
        this.items = items;
        this.subject = subject;
    }

    /** What to call the native library with, in order. */
    List<GuardedCall> get() {
        if (!valid) {
            calls = GuardedCall.cut(count, items, subject);
            valid = true;
        }
        return calls;
    }

    /** Forgets the guards, which may name arenas that are no longer used. */
    void renew() {
        valid = false;
    }

    /** A tensor of an item now lies in another place, or nowhere. */
    void moved(@Nullable Tensor place) {
        valid &= place == null || calls.size() == 1 && calls.getFirst().covers(place.segment());
    }
}
