package io.panoptim.engine;

import io.panoptim.tensor.DType;

/**
 * The arithmetic of one compute type: the Java twin of {@code kernels/arithmetic.h}. A sum, product, quotient or square
 * root of float32 values computed in double and then rounded is the correctly rounded float32 result; only fma differs.
 *
 * <p>Arguments and results are values of the compute type, float32 or float64, kept as doubles.
 */
public abstract sealed class Arithmetic {
    public static final Arithmetic FLOAT32 = new Float32();
    public static final Arithmetic FLOAT64 = new Float64();

    private final Powers powers;

    private Arithmetic(Powers.Format format) {
        this.powers = new Powers(this, format);
    }

    /** That of a compute type: float64, or float32 with its half types. */
    public static Arithmetic of(DType compute) {
        return compute == DType.FLOAT64 ? FLOAT64 : FLOAT32;
    }

    /** Rounds once to the compute type. */
    public abstract double round(double a);

    /** {@code a * b + c}, rounded once. */
    public abstract double fma(double a, double b, double c);

    public final double add(double a, double b) {
        return round(a + b);
    }

    public final double subtract(double a, double b) {
        return round(a - b);
    }

    public final double multiply(double a, double b) {
        return round(a * b);
    }

    public final double divide(double a, double b) {
        return round(a / b);
    }

    public final double sqrt(double a) {
        return round(Math.sqrt(a));
    }

    /** The cube root of a number that is not negative. */
    public final double cbrt(double a) {
        return powers.cbrt(a);
    }

    /** {@code a} to the power of {@code b}, for an {@code a} that is not negative. */
    public final double pow(double a, double b) {
        return powers.pow(a, b);
    }

    /** {@code a.lerp(b, w)}: torch tests the weight already rounded to the tensor's type. */
    public final double lerp(double a, double b, double w) {
        double difference = subtract(b, a);
        return Math.abs(w) < 0.5 ? fma(w, difference, a) : fma(subtract(w, 1), difference, b);
    }

    /** {@code torch.maximum}: the larger one, NaN if either is. */
    public static double maximum(double a, double b) {
        return Double.isNaN(a) || a > b ? a : b;
    }

    /** {@code torch.clamp}: NaN stays NaN. */
    public static double clamp(double a, double low, double high) {
        double raised = a < low ? low : a;
        return raised > high ? high : raised;
    }

    /** {@code a.addcdiv(b, c, value=s)}: the quotient is rounded before the sum. */
    public final double addcdiv(double a, double b, double c, double s) {
        return add(a, divide(multiply(s, b), c));
    }

    /** {@code s / a}, which torch takes for a reciprocal and a product. */
    public final double reciprocalTimes(double a, double s) {
        return multiply(divide(1, a), s);
    }

    /** {@code a.mul(decay).addcmul(b, c, value=s)}: the decayed average of a product. */
    public final double average(double a, double decay, double b, double c, double s) {
        return fma(multiply(s, b), c, multiply(a, decay));
    }

    /** {@code a.mul(decay).add(b, alpha=s)}: the decayed average of a value. */
    public final double average(double a, double decay, double b, double s) {
        return fma(s, b, multiply(a, decay));
    }

    /** {@code a.sign()}: 1 or -1, and 0 for zeros and NaN. */
    public static double sign(double a) {
        return a > 0 ? 1 : a < 0 ? -1 : 0;
    }

    /** How every rule of torch begins: the gradient's sign is turned to maximize, and the L2 penalty added. */
    public final double regularized(double p, double g, boolean maximize, boolean l2, double weightDecay) {
        double signed = maximize ? -g : g;
        return l2 ? fma(weightDecay, p, signed) : signed;
    }

    private static final class Float32 extends Arithmetic {
        Float32() {
            super(Powers.Format.FLOAT32);
        }

        @Override
        public double round(double a) {
            return (float) a;
        }

        @Override
        public double fma(double a, double b, double c) {
            return Math.fma((float) a, (float) b, (float) c);
        }
    }

    private static final class Float64 extends Arithmetic {
        Float64() {
            super(Powers.Format.FLOAT64);
        }

        @Override
        public double round(double a) {
            return a;
        }

        @Override
        public double fma(double a, double b, double c) {
            return Math.fma(a, b, c);
        }
    }
}
