package io.panoptim.engine.cuda;

import io.panoptim.engine.Reduction;
import io.panoptim.engine.cuda.CudaContext.Event;
import io.panoptim.engine.cuda.CudaContext.Pinned;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.ref.Cleaner;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Where numbers arrive from the device, to be read later. A place is used again when its number was read or nobody can read it any more. */
final class Results implements AutoCloseable {
    private static final int PLACES = 64;
    private static final Cleaner CLEANER = Cleaner.create();

    /** A number's place, and the event after which it is there. */
    private record Place(MemorySegment segment, Event event) {}

    private final CudaEngine engine;
    private final Deque<Place> free = new ArrayDeque<>();
    private final List<Pinned> pages = new ArrayList<>();
    private final List<Event> events = new ArrayList<>();

    Results(CudaEngine engine) {
        this.engine = engine;
    }

    /** Copies a float64 number from the device when the stream has come so far. */
    Reduction.Result of(long address, long stream) {
        Place place = take();
        engine.calls().copyToHost(place.segment, address, Double.BYTES, stream);
        engine.calls().record(place.event, stream);
        return new Result(this, place);
    }

    private synchronized Place take() {
        if (free.isEmpty()) {
            Pinned page = engine.allocatePinned(PLACES * (long) Double.BYTES, "results");
            pages.add(page);
            for (int i = 0; i < PLACES; i++) {
                Event event = engine.context().event();
                events.add(event);
                free.add(new Place(page.segment().asSlice(i * (long) Double.BYTES, Double.BYTES), event));
            }
        }
        return free.remove(); // the longest free: what was never read has most likely arrived
    }

    private synchronized void give(Place place) {
        free.add(place);
    }

    private static final class Result implements Reduction.Result {
        private final Results results;
        private final Place place;
        private final Cleaner.Cleanable unread;
        private @Nullable Double value;

        Result(Results results, Place place) {
            this.results = results;
            this.place = place;
            this.unread = CLEANER.register(this, () -> results.give(place));
        }

        @Override
        public synchronized double get() {
            if (value == null) {
                results.engine.await("Reduction.Result", place.event);
                value = place.segment.get(ValueLayout.JAVA_DOUBLE, 0);
                unread.clean();
            }
            return value;
        }
    }

    @Override
    public synchronized void close() {
        free.clear();
        pages.forEach(engine::free);
        pages.clear();
        events.forEach(engine.context()::free);
        events.clear();
    }
}
