package io.panoptim.train;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import java.util.function.LongToDoubleFunction;

/**
 * How an {@link AveragedModel} follows its model, by the functions of {@code torch.optim.swa_utils} and their arithmetic. Those that
 * torch calls {@code multi} interpolate, and so can ride along with a step.
 */
public final class Averaging {
    /** The weight of the model in its average, by the number of updates so far. */
    private final LongToDoubleFunction weight;
    private final double decay;
    private final boolean interpolates;
    private final boolean equal;

    private Averaging(LongToDoubleFunction weight, double decay, boolean interpolates, boolean equal) {
        this.weight = weight;
        this.decay = decay;
        this.interpolates = interpolates;
        this.equal = equal;
    }

    /**
     * An exponential moving average, {@code average.lerp_(model, 1 - decay)}.
     *
     * @param decay in [0, 1]; torch's default is 0.999
     */
    public static Averaging getEmaMultiAvgFn(double decay) {
        check(decay);
        return new Averaging(averaged -> 1 - decay, decay, true, false);
    }

    /**
     * The same with a decay that changes.
     *
     * @param decay in [0, 1], by the number of updates so far
     */
    public static Averaging getEmaMultiAvgFn(LongToDoubleFunction decay) {
        return new Averaging(averaged -> {
            double now = decay.applyAsDouble(averaged);
            check(now);
            return 1 - now;
        }, 0, true, false);
    }

    /** The same as {@code decay * average + (1 - decay) * model}, which rounds otherwise. */
    public static Averaging getEmaAvgFn(double decay) {
        check(decay);
        return new Averaging(averaged -> 1 - decay, decay, false, false);
    }

    /** The mean of all models so far, {@code average.lerp_(model, 1 / (n + 1))}, with the weight in float32 as there. */
    public static Averaging getSwaMultiAvgFn() {
        return new Averaging(averaged -> 1f / (averaged + 1), 0, true, true);
    }

    /** The same as {@code average + (model - average) / (n + 1)}: torch's default on the CPU. */
    public static Averaging getSwaAvgFn() {
        return new Averaging(averaged -> 1.0 / (averaged + 1), 0, false, true);
    }

    /**
     * An exponential moving average whose decay grows from 0, as timm's {@code ModelEmaV3} with {@code use_warmup} and the number of
     * the update, counted from 1, as its {@code step}: {@code 1 - (1 + s / gamma)^-power} with {@code s = step - updateAfterStep - 1},
     * at least {@code minDecay} and at most {@code decay}; 0 while {@code s} is not positive, so that the average is the model.
     *
     * @param decay in [0, 1]; timm's default is 0.9999
     * @param minDecay timm's default is 0
     * @param updateAfterStep timm's default is 0
     * @param gamma more than 0; timm's default is 1
     * @param power timm's default is 2/3
     */
    public static Averaging emaWithWarmup(double decay, double minDecay, long updateAfterStep, double gamma, double power) {
        check(decay);
        check(minDecay);
        if (!(gamma > 0) || Double.isNaN(power)) {
            throw PanoptimException.invalid("Averaging", "a warm-up with gamma " + gamma + " and power " + power + ": expected a gamma more "
                    + "than 0");
        }
        return new Averaging(averaged -> {
            long step = averaged - updateAfterStep;
            double reached = step <= 0 ? 0 : Math.max(Math.min(1 - CMath.pow(1 + step / gamma, -power), decay), minDecay);
            return 1 - reached;
        }, decay, true, false);
    }

    private static void check(double decay) {
        if (!(decay >= 0 && decay <= 1)) {
            throw PanoptimException.invalid("Averaging", "Invalid decay value " + decay + " provided. Please provide a value in [0,1] range.");
        }
    }

    /** The weight of the model after so many updates. */
    double weight(long averaged) {
        return weight.applyAsDouble(averaged);
    }

    /** The decay of an exponential average. */
    double decay() {
        return decay;
    }

    /** Whether an update is a lerp by that weight. */
    boolean interpolates() {
        return interpolates;
    }

    /** Whether all models count alike. */
    boolean isEqual() {
        return equal;
    }
}
