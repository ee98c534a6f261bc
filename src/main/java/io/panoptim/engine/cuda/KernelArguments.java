package io.panoptim.engine.cuda;

import io.panoptim.engine.Extras;
import io.panoptim.engine.Rows;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The one argument of a kernel over tables, written again for each launch: {@code Arguments<T>} of {@code kernels/step.h} and
 * {@code FinishArguments} of {@code kernels/step.cu}, which begin alike.
 */
final class KernelArguments {
    /** What every driver takes. */
    static final long SIZE = 4096;
    /** Where the rows begin. */
    static final long HEADER = 64;
    /** How many rows fit. */
    static final int MOST_FLOATS = (int) ((SIZE - HEADER) / KernelRows.FLOAT);
    static final int MOST_DOUBLES = (int) ((SIZE - HEADER) / KernelRows.DOUBLE);

    private static final long RECORDS = 0;
    private static final long ITEMS = 8;
    private static final long ROWS = 16;
    private static final long PARTIALS = 24;
    private static final long REDUCED = 32;
    private static final long BEFORE = 40;
    private static final long EXTRAS = 44;
    private static final long CONTROL = 48;
    private static final long STOCHASTIC_COPY = 56;

    private final MemorySegment segment;
    private final MemorySegment pointer;
    private final boolean wide;

    /** Of rows in float64, if so, else in float32. */
    KernelArguments(Arena arena, boolean wide) {
        this.wide = wide;
        this.segment = arena.allocate(SIZE, 64);
        this.pointer = arena.allocate(ValueLayout.ADDRESS);
        pointer.set(ValueLayout.ADDRESS, 0, segment);
    }

    /** Sets the addresses: of records, of chunks or reductions, of rows if they do not lie here, of sums, and what follows from them. */
    void pointers(long records, long items, long rows, long partials, long reduced) {
        segment.set(ValueLayout.JAVA_LONG, RECORDS, records);
        segment.set(ValueLayout.JAVA_LONG, ITEMS, items);
        segment.set(ValueLayout.JAVA_LONG, ROWS, rows);
        segment.set(ValueLayout.JAVA_LONG, PARTIALS, partials);
        segment.set(ValueLayout.JAVA_LONG, REDUCED, reduced);
    }

    /** Sets the rows: here or, if that is not 0, where on the device they lie as {@link KernelRows#write} has written them. */
    void rows(Rows rows, int count, long onDevice) {
        segment.set(ValueLayout.JAVA_LONG, ROWS, onDevice == 0 || !wide ? onDevice : onDevice + count * KernelRows.FLOAT);
        if (onDevice == 0 && wide) {
            KernelRows.writeDoubles(rows, count, segment, HEADER);
        } else if (onDevice == 0) {
            KernelRows.writeFloats(rows, count, segment, HEADER);
        }
    }

    /** Sets whether the sums are yet to be taken, for the kernel that finishes them. */
    void before(boolean before) {
        segment.set(ValueLayout.JAVA_INT, BEFORE, before ? 1 : 0);
    }

    /** Sets what rides along; the control block's address or, where none is needed, 0. */
    void extras(Extras extras, long control) {
        segment.set(ValueLayout.JAVA_INT, EXTRAS, extras.flags());
        segment.set(ValueLayout.JAVA_LONG, CONTROL, control);
        segment.set(ValueLayout.JAVA_INT, STOCHASTIC_COPY, extras.stochasticCopy() ? 1 : 0);
    }

    long partials() {
        return segment.get(ValueLayout.JAVA_LONG, PARTIALS);
    }

    long reduced() {
        return segment.get(ValueLayout.JAVA_LONG, REDUCED);
    }

    /** What a launch takes: a pointer to the argument. */
    MemorySegment pointer() {
        return pointer;
    }
}
