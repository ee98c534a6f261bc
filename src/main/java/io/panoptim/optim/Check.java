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
        check(betas.first() >= 0 && betas.first() < 1, optimizer, "Invalid beta parameter at index 0: " + betas.first());
        check(betas.second() >= 0 && betas.second() < 1, optimizer, "Invalid beta parameter at index 1: " + betas.second());
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
