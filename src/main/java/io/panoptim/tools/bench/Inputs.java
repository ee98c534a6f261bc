package io.panoptim.tools.bench;

/** The numbers that all contenders start from: a hash of their places, between -0.5 and 0.5; {@code torch_steps.py} has the same. */
public final class Inputs {
    private static final long WORD = 0xffffffffL;

    private Inputs() {}

    /** Element i of the value of a tensor, counted from 0. */
    public static float value(int tensor, long i) {
        return number(2L * tensor, i);
    }

    /** Element i of its gradient. */
    public static float gradient(int tensor, long i) {
        return number(2L * tensor + 1, i);
    }

    private static float number(long seed, long i) {
        long x = i * 2654435761L + seed * 2246822519L + 12345 & WORD;
        x ^= x >> 15;
        x = x * 2246822519L & WORD;
        x ^= x >> 13;
        x = x * 3266489917L & WORD;
        x ^= x >> 16;
        return (float) (x / 0x1p32 - 0.5);
    }
}
