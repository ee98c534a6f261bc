package io.panoptim.optim;

import io.panoptim.engine.CMath;

/** How RAdam and what follows it rectify the learning rate while the second moment's average is short. */
public final class Rectification {
    private Rectification() {}

    /** The length of the simple moving average that the second moment amounts to in the end. */
    public static double longest(double beta2) {
        return 2 / (1 - beta2) - 1;
    }

    /**
     * Its length now.
     *
     * @param power the decay rate to the power of the step
     */
    public static double length(double beta2, double step, double power) {
        return longest(beta2) - 2 * step * power / (1 - power);
    }

    /** The factor in torch's order of operations, which schedule_free has too. */
    static double factor(double length, double longest) {
        return CMath.pow((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length), 0.5);
    }

    /** The factor times the root of the second moment's correction for bias, in the order of AdaBelief's and Ranger's authors. */
    public static double correctedFactor(double length, double longest, double power) {
        return Math.sqrt((1 - power) * (length - 4) / (longest - 4) * (length - 2) / length * longest / (longest - 2));
    }
}
