package io.panoptim.engine;

import java.lang.foreign.MemorySegment;

/**
 * A loss-scaling domain's block of results on a device, shared by the optimizers and tables in it: scale, overflow,
 * norm, clip coefficient, counts of applied and skipped steps ({@code panoptim_control}).
 */
public interface Control extends AutoCloseable {
    /** The most recent values that have arrived, without waiting for the device. */
    MemorySegment latest();

    /** Adds another device's block of the same domain to this one. */
    void merge(Control other, Stream stream);

    @Override
    void close();
}
