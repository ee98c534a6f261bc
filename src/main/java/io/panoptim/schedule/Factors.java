package io.panoptim.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import java.util.function.LongToDoubleFunction;

/**
 * Functions for {@link LambdaLR}: by what the initial learning rate is multiplied at each epoch, or rather step. Those named
 * after transformers are, to the last bit, what its {@code get_scheduler} uses under these names; with warm-up they rise
 * linearly from 0 to 1 in {@code warmup} steps.
 */
public final class Factors {
    private Factors() {}

    /** {@code constant}: 1. */
    public static LongToDoubleFunction constant() {
        return step -> 1;
    }

    /** {@code constant_with_warmup}: then 1. */
    public static LongToDoubleFunction constantWithWarmup(long warmup) {
        check("constant_with_warmup", warmup, warmup);
        return step -> step < warmup ? warm(step, warmup) : 1;
    }

    /** {@code linear}: then down to 0 at the step {@code total}. */
    public static LongToDoubleFunction linear(long warmup, long total) {
        check("linear", warmup, total);
        return step -> step < warmup ? warm(step, warmup)
                : Math.max(0, (double) (total - step) / Math.max(1, total - warmup));
    }

    /** {@code cosine}: then along half a cosine to 0 at the step {@code total}. */
    public static LongToDoubleFunction cosine(long warmup, long total) {
        return cosine(warmup, total, 0.5);
    }

    /** {@code cosine} with any number of waves. */
    public static LongToDoubleFunction cosine(long warmup, long total, double cycles) {
        check("cosine", warmup, total);
        return step -> step < warmup ? warm(step, warmup)
                : Math.max(0, Ramp.COSINE.fall(progress(step, warmup, total), cycles));
    }

    /** {@code cosine_with_restarts}: then along several half cosines, with jumps back to 1 between them. */
    public static LongToDoubleFunction cosineWithHardRestarts(long warmup, long total, double cycles) {
        check("cosine_with_restarts", warmup, total);
        return step -> {
            if (step < warmup) {
                return warm(step, warmup);
            }
            double progress = progress(step, warmup, total);
            return progress >= 1 ? 0 : Math.max(0, 0.5 * (1.0 + CMath.cos(Math.PI * (cycles * progress % 1.0))));
        };
    }

    /** {@code cosine_with_min_lr}: as {@link #cosine(long, long, double)}, but down to {@code minimum}, a part of 1. */
    public static LongToDoubleFunction cosineWithMin(long warmup, long total, double cycles, double minimum) {
        check("cosine_with_min_lr", warmup, total);
        return step -> step < warmup ? warm(step, warmup)
                : Math.max(0, above(minimum, Ramp.COSINE.fall(progress(step, warmup, total), cycles)));
    }

    /** {@code cosine_warmup_with_min_lr}: the same one step earlier, so that no step has a factor of 0. */
    public static LongToDoubleFunction cosineWarmupWithMin(long warmup, long total, double cycles, double minimum) {
        check("cosine_warmup_with_min_lr", warmup, total);
        return step -> step < warmup ? (step + 1.0) / Math.max(1, warmup) : earlyCosine(step, warmup, total, cycles, minimum);
    }

    /** The same with a warm-up that begins at {@code start}, a part of 1. */
    public static LongToDoubleFunction cosineWarmupWithMin(long warmup, long total, double cycles, double minimum, double start) {
        check("cosine_warmup_with_min_lr", warmup, total);
        return step -> step < warmup ? start + (1.0 - start) * step / Math.max(1, warmup - 1)
                : earlyCosine(step, warmup, total, cycles, minimum);
    }

    private static double earlyCosine(long step, long warmup, long total, double cycles, double minimum) {
        return Math.max(0, above(minimum, Ramp.COSINE.fall((step - warmup + 1.0) / Math.max(1, total - warmup), cycles)));
    }

    /**
     * {@code polynomial}: then down to {@code lrEnd} at the step {@code total} as a power of what is left.
     *
     * @param lrInit the initial learning rate; groups that have another end at the same part of theirs
     * @param lrEnd less than that
     */
    public static LongToDoubleFunction polynomial(long warmup, long total, double lrInit, double lrEnd, double power) {
        check("polynomial", warmup, total);
        if (!(lrInit > lrEnd)) {
            throw PanoptimException.invalid("Factors.polynomial", "lr_end (" + lrEnd + ") must be smaller than initial lr (" + lrInit
                    + ")");
        }
        if (total == warmup || !(power >= 0)) {
            throw PanoptimException.invalid("Factors.polynomial", "expected more than " + warmup + " steps in all and a power of at "
                    + "least 0, but got " + total + " and " + power);
        }
        return step -> {
            if (step < warmup) {
                return warm(step, warmup);
            }
            double left = 1 - (double) (step - warmup) / (total - warmup);
            return (step > total ? lrEnd : (lrInit - lrEnd) * CMath.pow(left, power) + lrEnd) / lrInit;
        };
    }

    /** {@code inverse_sqrt}: then as one over the square root of the step. */
    public static LongToDoubleFunction inverseSqrt(long warmup) {
        return inverseSqrt(warmup, warmup == 0 ? 10_000 : warmup);
    }

    /** {@code inverse_sqrt}: a quarter is reached 15 times {@code timescale} after the warm-up. */
    public static LongToDoubleFunction inverseSqrt(long warmup, long timescale) {
        check("inverse_sqrt", warmup, warmup);
        if (timescale < 1) {
            throw PanoptimException.invalid("Factors.inverse_sqrt", "Invalid timescale: " + timescale + ", at least 1 is needed");
        }
        return step -> step < warmup ? warm(step, warmup)
                : 1.0 / Math.sqrt((double) (step + (timescale - warmup)) / timescale);
    }

    /**
     * The schedule of the first Transformers (Vaswani et al., 2017), for a learning rate of 1:
     * {@code modelSize^-0.5 * min(step^-0.5, step * warmup^-1.5)}, where the step 0 counts as 1.
     *
     * @param modelSize at least 1
     * @param warmup at least 1
     */
    public static LongToDoubleFunction noam(long modelSize, long warmup) {
        if (modelSize < 1 || warmup < 1) {
            throw PanoptimException.invalid("Factors.noam", "expected a model_size and num_warmup_steps of at least 1, but got "
                    + modelSize + " and " + warmup);
        }
        return step -> {
            double counted = Math.max(1, step);
            return CMath.pow(modelSize, -0.5) * Math.min(CMath.pow(counted, -0.5), counted * CMath.pow(warmup, -1.5));
        };
    }

    /** {@code warmup_stable_decay} with the defaults of transformers: linearly up, along half a cosine down to 0. */
    public static LongToDoubleFunction warmupStableDecay(long warmup, long stable, long decay) {
        return warmupStableDecay(warmup, stable, decay, Ramp.LINEAR, Ramp.COSINE, 0, 0.5);
    }

    /**
     * {@code warmup_stable_decay}: up from {@code minimum}, then 1, then down to {@code minimum}.
     *
     * @param stable steps at 1
     * @param decay steps down
     * @param up the shape of the way up
     * @param down the shape of the way down
     * @param minimum a part of 1
     * @param cycles waves of a cosine on the way down
     */
    public static LongToDoubleFunction warmupStableDecay(long warmup, long stable, long decay, Ramp up, Ramp down, double minimum,
                                                         double cycles) {
        check("warmup_stable_decay", warmup, warmup);
        if (stable < 0 || decay < 0) {
            throw PanoptimException.invalid("Factors.warmup_stable_decay", "expected at least 0 stable and decay steps, but got " + stable
                    + " and " + decay);
        }
        return step -> {
            if (step < warmup) {
                return Math.max(0, above(minimum, up.rise(warm(step, warmup))));
            }
            if (step < warmup + stable) {
                return 1;
            }
            return step < warmup + stable + decay
                    ? Math.max(0, above(minimum, down.fall((double) (step - warmup - stable) / Math.max(1, decay), cycles)))
                    : minimum;
        };
    }

    /** The factors of a list, one after the other; the last stays. */
    public static LongToDoubleFunction table(double... factors) {
        if (factors.length == 0) {
            throw PanoptimException.invalid("Factors.table", "expected at least one factor");
        }
        double[] copy = factors.clone();
        return step -> copy[(int) Math.min(step, copy.length - 1)];
    }

    private static double warm(long step, long warmup) {
        return (double) step / Math.max(1, warmup);
    }

    private static double progress(long step, long warmup, long total) {
        return (double) (step - warmup) / Math.max(1, total - warmup);
    }

    private static double above(double minimum, double factor) {
        return factor * (1.0 - minimum) + minimum;
    }

    private static void check(String name, long warmup, long total) {
        if (warmup < 0 || total < warmup) {
            throw PanoptimException.invalid("Factors." + name, "expected at least 0 warm-up steps, and no fewer steps in all, but got "
                    + warmup + " of " + total);
        }
    }
}
