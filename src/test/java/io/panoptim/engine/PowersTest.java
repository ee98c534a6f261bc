package io.panoptim.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.util.SplittableRandom;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** How far cube roots and powers are from exact ones. That the native engines have the same bits is BitEqualityTest's matter. */
class PowersTest {
    /** A binary point for fractions of a unit in the last place. */
    private static final int POINT = 48;

    /** The others differ from these by a power of 8, which the scaling keeps exact. */
    @Test
    void cubeRootsOfEveryFloat32AreCorrectlyRounded() {
        for (int bits = Float.floatToRawIntBits(1); bits < Float.floatToRawIntBits(8); bits++) {
            checkRounded(Float.intBitsToFloat(bits));
        }
    }

    @Test
    void cubeRootsOfFloat32AreCorrectlyRoundedAtEveryScale() {
        for (int bits = 1; bits < Float.floatToRawIntBits(Float.POSITIVE_INFINITY) - 4999; bits += 4999) {
            checkRounded(Float.intBitsToFloat(bits));
        }
        checkRounded(Float.MAX_VALUE);
    }

    /** The exact root lies between the middles to the neighbours, whose cubes take two doubles each. */
    private static void checkRounded(float x) {
        float root = (float) Arithmetic.FLOAT32.cbrt(x);
        double low = ((double) root + Math.nextDown(root)) / 2;
        double high = ((double) root + Math.nextUp(root)) / 2;
        if (!(compareCube(low, x) < 0 && compareCube(high, x) > 0)) {
            throw new AssertionError("cbrt(" + Float.toHexString(x) + ") is not " + Float.toHexString(root));
        }
    }

    /** Compares the cube of a number of 25 bits. */
    private static double compareCube(double number, double cube) {
        double square = number * number;
        double product = square * number;
        return product - cube + Math.fma(square, number, -product);
    }

    @Test
    void cubeRootsOfFloat64AreCorrectlyRoundedButForTheNarrowestCases() {
        sample(100_000).forEach(x -> checkWithin(0.5 + 0x1p-40, Arithmetic.FLOAT64.cbrt(x), 3, x, 1));
    }

    @ParameterizedTest
    @ValueSource(floats = {0.5f, 0.3f, 0.7f, 0.9f, 0.1f, 0.01f, 1, 1.5f, 3, -0.5f, -2.3f})
    void powersOfFloat32AreWithinFourFifthsOfAUnit(float y) {
        checkPowers(y, 0.8);
    }

    @ParameterizedTest
    @ValueSource(floats = {7, 40, 200, 1e5f, -33.3f})
    void powersOfFloat32AreWithinOneUnit(float y) {
        checkPowers(y, 1);
    }

    /** In float64, which is exact enough, {@code StrictMath.pow} is off by less than a unit in the last place. */
    private static void checkPowers(float y, double bound) {
        int one = Float.floatToRawIntBits(1);
        for (int i = 0; i < 400_000; i++) {
            float x = Float.intBitsToFloat(i % 4 == 0 ? one + (i - 200_000) * 41 : i * 5331);
            float found = (float) Arithmetic.FLOAT32.pow(x, y);
            double exact = StrictMath.pow(x, y);
            double error = Math.abs(found - exact) / Math.ulp(Math.min((float) exact, found));
            boolean right = (float) exact == found || error <= (exact < Float.MIN_NORMAL ? 1 : bound);
            if (!right) {
                throw new AssertionError(x + " to the power of " + y + " is " + exact + ", not " + found + ": " + error + " ulp");
            }
        }
    }

    /** Those with an exponent that is a fraction p / q can be checked exactly: their power q is x's power p. */
    @ParameterizedTest
    @CsvSource({"1, 2", "3, 4", "5, 8", "11, 16", "1, 16", "1, 1", "3, 2", "3, 1", "5, 2", "37, 4"})
    void powersOfFloat64AreWithinFourFifthsOfAUnit(int p, int q) {
        sample(20_000).forEach(x -> {
            double found = Arithmetic.FLOAT64.pow(x, (double) p / q);
            if (found >= Double.MIN_NORMAL && found <= Double.MAX_VALUE) {
                checkWithin(0.8, found, q, x, p);
            }
        });
    }

    @ParameterizedTest
    @CsvSource({"101, 1", "-5, 8", "-3, 1"})
    void powersOfFloat64AreWithinOneUnit(int p, int q) {
        sample(20_000).forEach(x -> {
            double found = Arithmetic.FLOAT64.pow(x, (double) p / q);
            if (found > 0 && found <= Double.MAX_VALUE) {
                checkWithin(1, found, q, x, p);
            }
        });
    }

    /** Numbers around 1 and at every scale. */
    private static DoubleStream sample(int count) {
        SplittableRandom random = new SplittableRandom(7);
        long one = Double.doubleToRawLongBits(1);
        long infinity = Double.doubleToRawLongBits(Double.POSITIVE_INFINITY);
        return IntStream.range(0, count).mapToDouble(i -> Double.longBitsToDouble(
                i % 3 == 0 ? random.nextLong(one - (1L << 51), one + (1L << 51))
                        : i % 20 == 1 ? random.nextLong(1, 1L << 12 + i % 40) // subnormal
                        : random.nextLong(1, infinity)));
    }

    /** Whether {@code found} to the power of {@code q} may be {@code x} to the power of {@code p}, exactly. */
    private static void checkWithin(double units, double found, int q, double x, int p) {
        BigInteger significand = BigInteger.valueOf(significand(found)).shiftLeft(POINT);
        BigInteger bound = BigInteger.valueOf((long) Math.scalb(units, POINT));
        int exponent = exponent(found) - POINT;
        boolean within = compare(significand.subtract(bound), exponent, q, x, p) <= 0
                && compare(significand.add(bound), exponent, q, x, p) >= 0;
        assertTrue(within, () -> x + " to the power of " + p + "/" + q + " is not " + found);
    }

    /** Compares the power of {@code significand * 2^exponent} with that of x; a negative power of x goes to the other side. */
    private static int compare(BigInteger significand, int exponent, int q, double x, int p) {
        BigInteger power = BigInteger.valueOf(significand(x)).pow(Math.abs(p));
        BigInteger left = significand.pow(q).multiply(p < 0 ? power : BigInteger.ONE);
        BigInteger right = p < 0 ? BigInteger.ONE : power;
        int shift = exponent * q - exponent(x) * p;
        return left.shiftLeft(Math.max(shift, 0)).compareTo(right.shiftLeft(Math.max(-shift, 0)));
    }

    private static long significand(double x) {
        long bits = Double.doubleToRawLongBits(x);
        long fraction = bits & (1L << 52) - 1;
        return bits >>> 52 == 0 ? fraction : fraction | 1L << 52;
    }

    private static int exponent(double x) {
        return (int) Math.max(Double.doubleToRawLongBits(x) >>> 52, 1) - 1075;
    }

    @ParameterizedTest
    @CsvSource({"0, 0", "Infinity, Infinity", "NaN, NaN", "-1, NaN", "-Infinity, NaN", "1, 1", "8, 2", "27, 3", "0.125, 0.5"})
    void cubeRootsThatAreExactOrThereAreNone(double x, double root) {
        assertEquals(root, Arithmetic.FLOAT32.cbrt(x));
        assertEquals(root, Arithmetic.FLOAT64.cbrt(x));
    }

    @ParameterizedTest
    @CsvSource({"0, 0.5, 0", "-0.0, 0.5, 0", "0, -0.5, Infinity", "-0.0, -0.5, Infinity", "Infinity, 0.5, Infinity",
        "Infinity, -0.5, 0", "NaN, 0.5, NaN", "NaN, 0, 1", "-2, 0, 1", "-2, 0.5, NaN", "-2, 2, NaN", "0, 0, 1", "Infinity, 0, 1",
        "1, 1e30, 1", "1, -1e30, 1", "2, 1e30, Infinity", "0.5, 1e30, 0", "2, 10, 1024", "16, 0.25, 2", "4, -0.5, 0.5"})
    void powersThatAreExactOrThereAreNone(double x, double y, double power) {
        assertEquals(power, Arithmetic.FLOAT32.pow(x, Arithmetic.FLOAT32.round(y)));
        assertEquals(power, Arithmetic.FLOAT64.pow(x, y));
    }
}
