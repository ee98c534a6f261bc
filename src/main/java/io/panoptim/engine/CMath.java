package io.panoptim.engine;

import io.panoptim.ffi.libm;

/**
 * The C library's functions for scalars that are computed on the host. Python calls the same ones; Java's own differ
 * from them in the last bit.
 */
public final class CMath {
    private CMath() {}

    /** Python's {@code math.cos(x)}. */
    public static double cos(double x) {
        return libm.cos(x);
    }

    /** Python's {@code math.log(x)}. */
    public static double log(double x) {
        return libm.log(x);
    }

    /** Python's {@code x ** y}. */
    public static double pow(double x, double y) {
        return libm.pow(x, y);
    }

    /** Python's {@code math.tanh(x)}. */
    public static double tanh(double x) {
        return libm.tanh(x);
    }
}
