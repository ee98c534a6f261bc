package io.panoptim.engine;

/** Cube roots and powers as fixed sequences of IEEE operations: the Java twin of {@code kernels/power.h}, which explains them. */
final class Powers {
    /**
     * What the functions need to know of a type.
     *
     * @param bits of a number
     * @param mantissa bits of the fraction
     * @param cut bits that the guess of a root drops
     * @param twoOverLn2 and ln2, a third: each as a sum of two numbers
     * @param atanhTail and exp2Tail: coefficients, the lowest first
     */
    record Format(int bits, int mantissa, int cut, double bias, double smallest, double largest, double far, double guess,
                  double limit, double rootHalf, double twoOverLn2, double twoOverLn2Low, double third, double thirdLow,
                  double ln2, double ln2Low, double[] atanhTail, double[] exp2Tail) {
        static final Format FLOAT32 = new Format(32, 23, 9, 127, Float.MIN_NORMAL, Float.MAX_VALUE, 0x1p30, 2773250, 192,
                0x1.6a09e6p-1, 0x1.715476p+1, 0x1.4ae0cp-25, 0x1.555556p-2, -0x1.555556p-27, 0x1.62e43p-1, -0x1.05c61p-29,
                new double[] {0x1.999998p-3, 0x1.249374p-3, 0x1.c65956p-4, 0x1.8eb42p-4},
                new double[] {0x1.ebfbep-3, 0x1.c6b08ep-5, 0x1.3b29f2p-7, 0x1.5d874p-10, 0x1.445da2p-13, 0x1.00e49cp-16});
        static final Format FLOAT64 = new Format(64, 52, 32, 1023, Double.MIN_NORMAL, Double.MAX_VALUE, 0x1p200, 1430186749,
                1280, 0x1.6a09e667f3bcdp-1, 0x1.71547652b82fep+1, 0x1.777d0ffda0d24p-55, 0x1.5555555555555p-2,
                0x1.5555555555555p-56, 0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56,
                new double[] {0x1.999999999999ap-3, 0x1.249249249246fp-3, 0x1.c71c71c722760p-4, 0x1.745d17417f98dp-4,
                    0x1.3b13b31189552p-4, 0x1.1110945648a3ap-4, 0x1.e20b8005aecd0p-5, 0x1.aaebe08ff935dp-5, 0x1.c31c5c9d35e0bp-5},
                new double[] {0x1.ebfbdff82c58fp-3, 0x1.c6b08d704a0c8p-5, 0x1.3b2ab6fba4e7fp-7, 0x1.5d87fe78a3752p-10,
                    0x1.430912f8696ffp-13, 0x1.ffcbfc70b3a86p-17, 0x1.62c0224ba36dep-20, 0x1.b524e4d575cc5p-24,
                    0x1.e4ceee7fa2ca6p-28, 0x1.e9f72fc56ec45p-32, 0x1.c4d32ed9667dfp-36});

        double integer() {
            return Math.scalb(1.0, mantissa);
        }

        double nearest() {
            return 1.5 * integer();
        }

        long bitsOf(double x) {
            return bits == 32 ? Integer.toUnsignedLong(Float.floatToRawIntBits((float) x)) : Double.doubleToRawLongBits(x);
        }

        /** Takes the lowest {@link #bits}. */
        double fromBits(long word) {
            return bits == 32 ? Float.intBitsToFloat((int) word) : Double.longBitsToDouble(word);
        }
    }

    private final Arithmetic a;
    private final Format f;

    Powers(Arithmetic arithmetic, Format format) {
        this.a = arithmetic;
        this.f = format;
    }

    private double polynomial(double x, double... c) {
        double sum = c[c.length - 1];
        for (int i = c.length - 2; i >= 0; i--) {
            sum = a.fma(x, sum, c[i]);
        }
        return sum;
    }

    double cbrt(double x) {
        if (!(x > 0 && x <= f.largest)) {
            return x < 0 ? Double.NaN : x;
        }
        double third = a.round(1.0 / 3);
        double twoNinths = a.round(2.0 / 9);
        double farDown = 1 / f.far;
        double lift = f.far * f.far * f.far;
        double scaled = x * (x < farDown ? lift : x > f.far ? 1 / lift : 1);

        double leading = a.subtract(f.fromBits(f.bitsOf(scaled) >>> f.cut | f.bitsOf(f.integer())), f.integer());
        double r = f.fromBits(f.bitsOf(a.fma(leading, -third, f.guess + f.integer())) << f.cut);
        double rest = a.fma(-a.multiply(scaled, r), a.multiply(r, r), 1);
        r = a.fma(a.multiply(r, rest), polynomial(rest, third, twoNinths, a.round(14.0 / 81)), r);
        rest = a.fma(-a.multiply(scaled, r), a.multiply(r, r), 1);
        r = a.fma(a.multiply(r, rest), polynomial(rest, third, twoNinths), r);

        double slope = a.multiply(a.multiply(r, r), third);
        double root = a.multiply(scaled, a.multiply(r, r));
        root = a.fma(a.fma(-a.multiply(root, root), root, scaled), slope, root);
        double square = a.multiply(root, root);
        double cube = a.multiply(square, root);
        double missing = a.subtract(a.subtract(a.subtract(scaled, cube), a.fma(square, root, -cube)),
                a.multiply(a.fma(root, root, -square), root));
        return a.add(root, a.multiply(missing, slope)) * (x < farDown ? farDown : x > f.far ? f.far : 1);
    }

    double pow(double x, double y) {
        if (y == 0) {
            return 1;
        }
        if (!(x > 0 && x <= f.largest)) {
            double zero = x == 0 ? 0 : x;
            return x < 0 ? Double.NaN : y < 0 ? 1 / zero : zero;
        }
        boolean subnormal = x < f.smallest;
        double scaled = subnormal ? x * f.integer() : x;
        long exponent = f.bitsOf(scaled) + (f.bitsOf(1) - f.bitsOf(f.rootHalf)) >>> f.mantissa;
        double k = f.fromBits(exponent | f.bitsOf(f.integer())) - (f.integer() + f.bias) - (subnormal ? f.mantissa : 0);
        double m = f.fromBits(f.bitsOf(scaled) - (exponent << f.mantissa) + f.bitsOf(1));

        double above = m - 1;
        double below = a.add(m, 1);
        double belowLow = m - (below - 1);
        double reciprocal = a.divide(1, below);
        double s = a.multiply(above, reciprocal);
        double sLow = a.multiply(a.fma(-s, belowLow, a.fma(-s, below, above)), reciprocal);
        double z = a.multiply(s, s);
        double zLow = a.fma(a.add(s, s), sLow, a.fma(s, s, -z));
        double tail = a.multiply(z, polynomial(z, f.atanhTail));
        double c = a.add(f.third, tail);
        double cLow = a.add(a.add(a.subtract(f.third, c), tail), f.thirdLow);
        double t = a.multiply(z, c);
        double tLow = a.fma(z, cLow, a.fma(zLow, c, a.fma(z, c, -t)));
        double st = a.multiply(s, t);
        double stLow = a.fma(s, tLow, a.fma(sLow, t, a.fma(s, t, -st)));
        double atanh = a.add(s, st);
        double atanhLow = a.add(a.add(a.subtract(s, atanh), st), a.add(sLow, stLow));
        double log2m = a.multiply(atanh, f.twoOverLn2);
        double log2mLow = a.fma(atanh, f.twoOverLn2Low, a.fma(atanhLow, f.twoOverLn2, a.fma(atanh, f.twoOverLn2, -log2m)));
        double log2x = a.add(k, log2m);
        double log2xLow = a.add(a.add(a.subtract(k, log2x), log2m), log2mLow);

        double e = a.multiply(y, log2x);
        double eLow = a.fma(y, log2xLow, a.fma(y, log2x, -e));
        if (!(e > -f.limit && e < f.limit)) {
            e = e > 0 ? f.limit : -f.limit;
            eLow = 0;
        }
        double n = nearest(e);
        double r = a.add(e - n, eLow);
        double rLow = a.add(a.subtract(e - n, r), eLow);
        double u = a.multiply(r, f.ln2);
        double uLow = a.fma(a.multiply(r, r), polynomial(r, f.exp2Tail),
                a.fma(rLow, f.ln2, a.fma(r, f.ln2Low, a.fma(r, f.ln2, -u))));
        double sum = a.add(1, u);
        double half = nearest(n * 0.5);
        double power = a.add(sum, a.add(a.add(a.subtract(1, sum), u), uLow));
        return a.multiply(a.multiply(power, powerOf2(half)), powerOf2(n - half));
    }

    private double nearest(double x) {
        return a.add(x, f.nearest()) - f.nearest();
    }

    private double powerOf2(double n) {
        return f.fromBits(f.bitsOf(n + f.nearest()) + (long) f.bias << f.mantissa);
    }
}
