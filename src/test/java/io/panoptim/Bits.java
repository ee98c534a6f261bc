package io.panoptim;

import static org.junit.jupiter.api.Assertions.fail;

import io.panoptim.tensor.Tensor;

/** Compares tensors bit by bit; any NaN equals any other. */
public final class Bits {
    private Bits() {}

    public static void assertSame(Tensor expected, Tensor actual, String what) {
        if (expected.segment().mismatch(actual.segment()) < 0) {
            return;
        }
        for (long i = 0; i < expected.elements(); i++) {
            double a = expected.get(i);
            double b = actual.get(i);
            if (Double.doubleToLongBits(a) != Double.doubleToLongBits(b)) {
                fail(what + ": element " + i + " of " + expected + " should be " + a + " (" + Double.toHexString(a) + "), is " + b
                        + " (" + Double.toHexString(b) + ")");
            }
        }
    }
}
