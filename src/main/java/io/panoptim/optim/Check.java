package io.panoptim.optim;

import io.panoptim.PanoptimException;

/** The ranges of hyperparameters, in torch's words. A NaN is in no range. */
public final class Check {
    private Check() {}

    public static void lr(String optimizer, double lr) {
        check(lr >= 0, optimizer, "Invalid learning rate: " + lr);
    }

    public static void eps(String optimizer, double eps) {
        check(eps >= 0, optimizer, "Invalid epsilon value: " + eps);
    }

    public static void betas(String optimizer, Betas betas) {
        beta(optimizer, 0, betas.first());
        beta(optimizer, 1, betas.second());
    }

    public static void betas(String optimizer, ThreeBetas betas) {
        beta(optimizer, 0, betas.first());
        beta(optimizer, 1, betas.second());
        beta(optimizer, 2, betas.third());
    }

    private static void beta(String optimizer, int index, double beta) {
        check(beta >= 0 && beta < 1, optimizer, "Invalid beta parameter at index " + index + ": " + beta);
    }

    public static void weightDecay(String optimizer, double weightDecay) {
        atLeastZero(optimizer, "weight_decay", weightDecay);
    }

    public static void momentum(String optimizer, double momentum) {
        atLeastZero(optimizer, "momentum", momentum);
    }

    /** An option that torch words as {@code Invalid <name> value}, at least 0. */
    public static void atLeastZero(String optimizer, String name, double value) {
        check(value >= 0, optimizer, "Invalid " + name + " value: " + value);
    }

    /** An option that torch does not check: all but NaN. */
    public static void aNumber(String optimizer, String name, double value) {
        check(!Double.isNaN(value), optimizer, "Invalid " + name + " value: " + value);
    }

    /** Refuses an optimizer's options with a message unless the condition holds. */
    public static void check(boolean condition, String optimizer, String message) {
        if (!condition) {
            throw PanoptimException.invalid(optimizer, message);
        }
    }
}
