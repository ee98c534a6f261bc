package io.panoptim.engine.cuda;

import io.panoptim.engine.Rows;
import io.panoptim.ffi.panoptim_row;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Rows as kernels read them: {@code Row<float>} and {@code Row<double>} of {@code kernels/row.h}. */
final class KernelRows {
    /** The size of a float32 row. */
    static final long FLOAT = Rows.SCALARS * 4L + 24;
    /** The size of a float64 row, which is that of a row before rounding. */
    static final long DOUBLE = panoptim_row.sizeof();

    /** What a row takes in both forms. */
    static final long BOTH = FLOAT + DOUBLE;

    private static final long SCALAR = panoptim_row.scalar$offset();
    private static final long FLAGS = panoptim_row.flags$offset();
    private static final long KEEP = panoptim_row.keep$offset();
    private static final long AVERAGE = panoptim_row.average$offset();
    private static final long NOISE = panoptim_row.noise$offset();

    private KernelRows() {}

    /** Writes rows in both forms: all of them rounded to float32, then all as they are. */
    static void write(Rows rows, int count, MemorySegment to) {
        writeFloats(rows, count, to, 0);
        writeDoubles(rows, count, to, count * FLOAT);
    }

    /** Writes rows in float32, each number rounded once. */
    static void writeFloats(Rows rows, int count, MemorySegment to, long offset) {
        MemorySegment from = rows.segment();
        for (int row = 0; row < count; row++) {
            long in = row * DOUBLE;
            long out = offset + row * FLOAT;
            for (int i = 0; i < Rows.SCALARS; i++) {
                to.set(ValueLayout.JAVA_FLOAT, out + i * 4L, (float) from.get(ValueLayout.JAVA_DOUBLE, in + SCALAR + i * 8L));
            }
            to.set(ValueLayout.JAVA_INT, out + Rows.SCALARS * 4L, from.get(ValueLayout.JAVA_INT, in + FLAGS));
            to.set(ValueLayout.JAVA_FLOAT, out + Rows.SCALARS * 4L + 4, (float) from.get(ValueLayout.JAVA_DOUBLE, in + KEEP));
            to.set(ValueLayout.JAVA_FLOAT, out + Rows.SCALARS * 4L + 8, (float) from.get(ValueLayout.JAVA_DOUBLE, in + AVERAGE));
            to.set(ValueLayout.JAVA_LONG, out + Rows.SCALARS * 4L + 16, from.get(ValueLayout.JAVA_LONG, in + NOISE));
        }
    }

    /** Writes rows in float64: as they are. */
    static void writeDoubles(Rows rows, int count, MemorySegment to, long offset) {
        MemorySegment.copy(rows.segment(), 0, to, offset, count * DOUBLE);
    }
}
