package io.panoptim.engine.cuda;

import io.panoptim.engine.cuda.CudaContext.Event;
import io.panoptim.engine.cuda.CudaContext.Pinned;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * Page-locked memory of the CPU from which streams copy to the device later. It is used in turn, and written to again only when the
 * copies from it are done: the CPU is never further ahead of the device than the ring is long.
 */
final class UploadRing implements AutoCloseable {
    private static final int SLOTS = 8;
    private static final long SMALLEST = 4096;

    private final CudaEngine engine;
    private final @Nullable Pinned[] memory = new Pinned[SLOTS];
    private final @Nullable Event[] copied = new Event[SLOTS];
    private final boolean[] waiting = new boolean[SLOTS];
    private int current = SLOTS - 1;

    UploadRing(CudaEngine engine) {
        this.engine = engine;
    }

    /** At least so many bytes to write to; {@link #given} follows. */
    MemorySegment take(long bytes) {
        current = (current + 1) % SLOTS;
        Event event = copied[current];
        if (event != null && waiting[current]) {
            engine.calls().await(event);
            waiting[current] = false;
        }
        Pinned there = memory[current];
        if (there == null || there.segment().byteSize() < bytes) {
            memory[current] = null;
            if (there != null) {
                engine.free(there);
            }
            there = engine.allocatePinned(Math.max(SMALLEST, Long.highestOneBit(bytes - 1) * 2), "upload");
            memory[current] = there;
        }
        return there.segment();
    }

    /** All copies of what was taken last have been given to the stream. */
    void given(long stream) {
        Event event = copied[current];
        if (event == null) {
            copied[current] = event = engine.context().event();
        }
        engine.calls().record(event, stream);
        waiting[current] = true;
    }

    /** The driver keeps what is still being copied until it is. */
    @Override
    public void close() {
        for (int i = 0; i < SLOTS; i++) {
            Pinned there = memory[i];
            Event event = copied[i];
            memory[i] = null;
            copied[i] = null;
            if (there != null) {
                engine.free(there);
            }
            if (event != null) {
                engine.context().free(event);
            }
        }
    }
}
