package io.panoptim.engine.cuda;

import io.panoptim.engine.cuda.CudaContext.Event;
import io.panoptim.engine.cuda.CudaContext.Pinned;
import java.lang.foreign.MemorySegment;

/**
 * Where a piece of device memory arrives on the CPU again and again, as ordered on streams. The newest state that has arrived can be
 * read without waiting. All is called within the context.
 */
final class Arrivals implements AutoCloseable {
    private static final int PLACES = 8;

    private final CudaEngine engine;
    private final long address;
    private final long bytes;
    private final Pinned places;
    private final Event[] events = new Event[PLACES];
    /** Whether anything was ordered to arrive in a place. */
    private final boolean[] used = new boolean[PLACES];
    private final MemorySegment last;
    private int newest = -1;

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
        if (used[next] && !engine.calls().hasHappened(events[next])) {
            next = newest;
        } else if (used[next]) {
            last.copyFrom(place(next)); // older than all that may be on its way
        }
        engine.calls().copyToHost(place(next), address, bytes, stream);
        engine.calls().record(events[next], stream);
        used[next] = true;
        newest = next;
    }

    /** The newest state that has arrived; it stays as it is until the next order. */
    synchronized MemorySegment latest() {
        for (int age = 0; newest >= 0 && age < PLACES; age++) {
            int number = (newest - age + PLACES) % PLACES;
            if (used[number] && engine.calls().hasHappened(events[number])) {
                return place(number);
            }
        }
        return last;
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
