package io.panoptim.engine.reference;

/** Noise for stochastic rounding: the oracle of {@code kernels/noise.h}, which says what it is made of. */
final class Noise {
    private static final float LARGEST_BFLOAT16 = Float.intBitsToFloat(0x7f7f0000);

    private final long noise;
    private final long id;
    private final int column;

    /**
     * Of one tensor in one step.
     *
     * @param noise the row's
     * @param column of the tensor, that is rounded
     */
    Noise(long noise, long id, int column) {
        this.noise = noise;
        this.id = id;
        this.column = column;
    }

    /** 32 bits for an element, counted from the whole tensor's element 0 on. */
    int of(long index) {
        long key = mix(mix(mix(noise) + id) + ((long) column << 32 | index >>> 32));
        return mix(mix((int) index ^ (int) key) ^ (int) (key >>> 32));
    }

    /** Rounds a float32 number to one of its neighbours among the bfloat16 numbers, the nearer one more often. */
    double rounded(double x, long index) {
        if (!(Math.abs(x) <= LARGEST_BFLOAT16)) {
            return x; // to nearest even, when it is stored
        }
        int bits = Float.floatToRawIntBits((float) x);
        int down = bits & 0xffff0000;
        boolean up = (bits & 0xffff) + (of(index) >>> 16) > 0xffff;
        return Float.intBitsToFloat(up ? down + 0x10000 : down);
    }

    private static long mix(long x) {
        long z = x + 0x9e3779b97f4a7c15L;
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        return z ^ z >>> 31;
    }

    private static int mix(int x) {
        int z = (x ^ x >>> 16) * 0x7feb352d;
        z = (z ^ z >>> 15) * 0x846ca68b;
        return z ^ z >>> 16;
    }
}
