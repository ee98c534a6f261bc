package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.ffi.panoptim_h;
import java.util.Map;

/** The columns of a tensor's record, as {@code kernels/table.h} numbers them. */
public final class Column {
    private Column() {}

    public static final int VALUE = panoptim_h.PANOPTIM_VALUE();
    public static final int GRADIENT = panoptim_h.PANOPTIM_GRADIENT();
    /** The first of up to {@link #MAX_STATES} state slots. */
    public static final int STATE = panoptim_h.PANOPTIM_STATE();
    /** The first of the scales of quantised slots. */
    public static final int SCALE = panoptim_h.PANOPTIM_SCALE();
    /** A half-precision value's float32 master, or the master's low 16 bits. */
    public static final int MASTER = panoptim_h.PANOPTIM_MASTER();
    /** Kahan's compensation. */
    public static final int COMPENSATION = panoptim_h.PANOPTIM_COMPENSATION();
    /** The value's exponential moving average. */
    public static final int AVERAGE = panoptim_h.PANOPTIM_AVERAGE();
    /** A low-precision copy of the value. */
    public static final int COPY = panoptim_h.PANOPTIM_COPY();
    public static final int COUNT = panoptim_h.PANOPTIM_COLUMNS();
    public static final int MAX_STATES = panoptim_h.PANOPTIM_STATES();

    private static final Map<Integer, String> NAMES = Map.of(VALUE, "value", GRADIENT, "gradient", MASTER, "master",
            COMPENSATION, "compensation", AVERAGE, "average", COPY, "copy");

    /** Refuses what is not the number of a column of elements. */
    static void check(String call, int column) {
        if (column < 0 || column >= COUNT || column >= SCALE && column < SCALE + MAX_STATES) {
            throw PanoptimException.invalid(call, name(column) + " is none of a tensor's elements");
        }
    }

    /** For messages. */
    public static String name(int column) {
        if (column >= STATE && column < STATE + MAX_STATES) {
            return "state " + (column - STATE);
        }
        if (column >= SCALE && column < SCALE + MAX_STATES) {
            return "scales of state " + (column - SCALE);
        }
        return NAMES.getOrDefault(column, "column " + column);
    }
}
