package io.panoptim.engine.cuda;

import io.panoptim.engine.cuda.CudaContext.Event;
import io.panoptim.engine.cuda.CudaContext.Pinned;
import java.lang.foreign.MemorySegment;

/**
 * Where a piece of device memory arrives on the CPU again and again, as ordered on streams. The newest state that has arrived can be
 * read without waiting. All is called within the context.
 */
final class Arrivals implements AutoCloseable {
    /** What {@link #hold} returns where nothing was ordered. */
    static final int NONE = -1;

    private static final int PLACES = 8;
    /** How many places can be held, so that there are others. */
    static final int MOST_HELD = PLACES / 2;

    private final CudaEngine engine;
    private final long address;
    private final long bytes;
    private final Pinned places;
    private final Event[] events = new Event[PLACES];
    /** Which order it was that a place was last used for; 0 if for none. */
    private final long[] orders = new long[PLACES];
    private final boolean[] held = new boolean[PLACES];
    /** The newest state that had arrived of those that are overwritten. */
    private final MemorySegment last;
    private long lastOrder;
    private int newest = NONE;

    /** Of so many bytes on the device, whose content is known at first. */
    Arrivals(CudaEngine engine, long address, MemorySegment initial) {
        this.engine = engine;
        this.address = address;
        this.bytes = initial.byteSize();
        this.last = initial;
        this.places = engine.allocatePinned(PLACES * bytes, "what arrives");
        for (int i = 0; i < PLACES; i++) {
            events[i] = engine.context().event();
        }
    }

    private MemorySegment place(int number) {
        return places.segment().asSlice(number * bytes, bytes);
    }

    /** Orders another copy. When the device is so far behind that no place is free, it follows the one before to the same place. */
    synchronized void order(long stream) {
        int next = (newest + 1) % PLACES;
        while (held[next]) {
            next = (next + 1) % PLACES;
        }
        if (hasArrived(next)) {
            if (orders[next] > lastOrder) {
                last.copyFrom(place(next));
                lastOrder = orders[next];
            }
        } else if (orders[next] > 0 && !held[newest]) {
            next = newest;
        }
        engine.calls().copyToHost(place(next), address, bytes, stream);
        engine.calls().record(events[next], stream);
        orders[next] = newest == NONE ? 1 : orders[newest] + 1;
        newest = next;
    }

    private boolean hasArrived(int number) {
        return orders[number] > 0 && engine.calls().hasHappened(events[number]);
    }

    /** The newest state that has arrived; it stays as it is until the next order. */
    synchronized MemorySegment latest() {
        int best = NONE;
        for (int number = 0; number < PLACES; number++) {
            if (orders[number] > (best == NONE ? lastOrder : orders[best]) && hasArrived(number)) {
                best = number;
            }
        }
        return best == NONE ? last : place(best);
    }

    /** Whether nothing was ordered since a place was. */
    synchronized boolean isNewest(int place) {
        return place == newest;
    }

    /** Keeps what was ordered last, for {@link #released}, until it is let go. At most {@link #MOST_HELD} may be kept. */
    synchronized int hold() {
        if (newest != NONE) {
            held[newest] = true;
        }
        return newest;
    }

    /** What is held in a place: waits for the device. It is let go, and stays as it is until the next order. */
    synchronized MemorySegment released(int place) {
        engine.calls().await(events[place]);
        held[place] = false;
        return place(place);
    }

    /** The state after all that was ordered: waits for the device. */
    synchronized MemorySegment awaited() {
        if (newest >= 0) {
            engine.calls().await(events[newest]);
        }
        return latest();
    }

    /** When nothing is on its way any more: the memory that it comes from has been freed. */
    @Override
    public void close() {
        engine.free(places);
        for (Event event : events) {
            engine.context().free(event);
        }
    }
}
