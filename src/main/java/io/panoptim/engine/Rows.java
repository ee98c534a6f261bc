package io.panoptim.engine;

import io.panoptim.ffi.panoptim_h;
import io.panoptim.ffi.panoptim_row;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The scalars of every class, as doubles before rounding: what options and schedulers change and kernels read. Scalars
 * and flags are named by the generated classes {@code SgdRow}, {@code AdamRow}, ….
 */
public final class Rows {
    /** The most scalars in a row. */
    public static final int SCALARS = panoptim_h.PANOPTIM_SCALARS();

    private static final long SIZE = panoptim_row.sizeof();
    private static final long SCALAR = panoptim_row.scalar$offset();
    private static final long FLAGS = panoptim_row.flags$offset();
    private static final long KEEP = panoptim_row.keep$offset();
    private static final long AVERAGE = panoptim_row.average$offset();
    private static final long NOISE = panoptim_row.noise$offset();

    private final MemorySegment segment;
    private final int count;

    /** Rows of zeros that keep values as they are; they live as long as something refers to them. */
    public Rows(int count) {
        this.segment = panoptim_row.allocateArray(count, Arena.ofAuto());
        this.count = count;
        for (int row = 0; row < count; row++) {
            keep(row, 1);
        }
    }

    /** The number of rows. */
    public int count() {
        return count;
    }

    /** Sets one scalar of a row. */
    public Rows set(int row, int scalar, double value) {
        segment.set(ValueLayout.JAVA_DOUBLE, row * SIZE + SCALAR + scalar * 8L, value);
        return this;
    }

    public double get(int row, int scalar) {
        return segment.get(ValueLayout.JAVA_DOUBLE, row * SIZE + SCALAR + scalar * 8L);
    }

    /** Sets all flags of a row. */
    public Rows flags(int row, int flags) {
        segment.set(ValueLayout.JAVA_INT, row * SIZE + FLAGS, flags);
        return this;
    }

    public int flags(int row) {
        return segment.get(ValueLayout.JAVA_INT, row * SIZE + FLAGS);
    }

    /** Sets the factor by which every value shrinks before the rule sees it; 1 leaves it as it is. */
    public Rows keep(int row, double factor) {
        segment.set(ValueLayout.JAVA_DOUBLE, row * SIZE + KEEP, factor);
        return this;
    }

    public double keep(int row) {
        return segment.get(ValueLayout.JAVA_DOUBLE, row * SIZE + KEEP);
    }

    /** Sets the weight of the values in their moving average, 1 - decay, for {@link Extras.Part#AVERAGE}. */
    public Rows average(int row, double weight) {
        segment.set(ValueLayout.JAVA_DOUBLE, row * SIZE + AVERAGE, weight);
        return this;
    }

    public double average(int row) {
        return segment.get(ValueLayout.JAVA_DOUBLE, row * SIZE + AVERAGE);
    }

    /** Sets what stochastic rounding starts from: another number in every step. */
    public Rows noise(int row, long noise) {
        segment.set(ValueLayout.JAVA_LONG, row * SIZE + NOISE, noise);
        return this;
    }

    public long noise(int row) {
        return segment.get(ValueLayout.JAVA_LONG, row * SIZE + NOISE);
    }

    /** {@code flag} if the condition holds, else no flag. */
    public static int flag(int flag, boolean condition) {
        return condition ? flag : 0;
    }

    /** The rows as native memory, {@code panoptim_row[count]}. */
    public MemorySegment segment() {
        return segment;
    }
}
