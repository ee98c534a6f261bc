package io.panoptim.optim.norm;

import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.StableAdamwRow;
import io.panoptim.optim.Betas;
import io.panoptim.optim.Check;
import io.panoptim.optim.FusedOptimizer;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.OptionalDouble;

/**
 * StableAdamW, as {@code optimi.StableAdamW}: AdamW with Adafactor's clipping of the update. Each tensor divides its learning
 * rate by the root mean square of its gradient over the root of the second moment, where that is more than 1. The averages are
 * corrected for bias by decay rates that depend on the step.
 *
 * <p>There is no default learning rate in optimi: here it is torch's for AdamW. optimi's Kahan summation of half-precision
 * parameters is not part of this; they are computed in float32 and rounded once. Two passes over memory.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_sq}.
 *
 * @see <a href="https://github.com/warner-benjamin/optimi/blob/main/optimi/stableadamw.py">optimi.StableAdamW</a>
 * @see <a href="https://arxiv.org/abs/2304.13013">Wortsman et al., Stable and Low-precision Training</a>
 */
public final class StableAdamW extends FusedOptimizer<StableAdamW.Options> {
    /**
     * The options, with optimi's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param weightDecay relative shrinking per step, times the learning rate that the tensor gets; at least 0
     * @param eps added to the denominator, at least 0
     * @param decoupleLr shrink by the weight decay times the learning rate over its maximum instead
     * @param maxLr the learning rate's maximum, at least 0, where nothing decays; none for the learning rate with which a group is
     *     added, which with {@code decoupleLr} becomes its {@code max_lr}, as in optimi
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double weightDecay, double eps, boolean decoupleLr, OptionalDouble maxLr,
                          boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("StableAdamW", lr);
            Check.betas("StableAdamW", betas);
            Check.weightDecay("StableAdamW", weightDecay);
            Check.eps("StableAdamW", eps);
            Check.check(maxLr.orElse(0) >= 0, "StableAdamW", "Invalid maximum learning rate: " + maxLr.orElse(0));
        }

        /** optimi's defaults. */
        public static Options defaults() {
            return new Options(1e-3, new Betas(0.9, 0.99), 1e-2, 1e-6, false, OptionalDouble.empty(), false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, weightDecay, eps, decoupleLr, maxLr, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), weightDecay, eps, decoupleLr, maxLr, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, newWeightDecay, eps, decoupleLr, maxLr, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, weightDecay, newEps, decoupleLr, maxLr, maximize);
        }

        public Options withDecoupleLr(boolean newDecoupleLr) {
            return new Options(lr, betas, weightDecay, eps, newDecoupleLr, maxLr, maximize);
        }

        public Options withMaxLr(OptionalDouble newMaxLr) {
            return new Options(lr, betas, weightDecay, eps, decoupleLr, newMaxLr, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, weightDecay, eps, decoupleLr, maxLr, newMaximize);
        }

        private Options withMaxLrOfItsOwn() {
            return decoupleLr && maxLr.isEmpty() ? withMaxLr(OptionalDouble.of(lr)) : this;
        }
    }

    /** The options by optimi's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("StableAdamW", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int EPS = SCHEMA.index("eps");
    private static final int DECOUPLE_LR = SCHEMA.index("decouple_lr");
    private static final int MAX_LR = SCHEMA.index("max_lr");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public StableAdamW(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("StableAdamW", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public StableAdamW(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.STABLE_ADAMW, parameters, options.withMaxLrOfItsOwn());
    }

    @Override
    public void addParamGroup(List<Parameter> parameters, Options options) {
        super.addParamGroup(parameters, options.withMaxLrOfItsOwn());
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double step = next(history[STEP]);
        next[STEP] = step;
        double decay2 = debiased(group.value(BETAS + 1), step);
        double eps = group.value(EPS);
        double maxLr = group.value(MAX_LR);
        boolean decoupled = group.value(DECOUPLE_LR) != 0;
        Check.check(!decoupled || !Double.isNaN(maxLr), "StableAdamW.step", "decouple_lr has been set later, without a max_lr: set "
                + "max_lr to the largest learning rate");
        boolean decays = !decoupled || maxLr != 0;
        rows.set(row, StableAdamwRow.EXP_AVG_WEIGHT, 1 - debiased(group.value(BETAS), step))
                .set(row, StableAdamwRow.EXP_AVG_SQ_DECAY, decay2)
                .set(row, StableAdamwRow.EXP_AVG_SQ_WEIGHT, 1 - decay2)
                .set(row, StableAdamwRow.EPS, eps)
                .set(row, StableAdamwRow.EPS_SQ, CMath.pow(eps, 2))
                .set(row, StableAdamwRow.LR, group.value(LR))
                .set(row, StableAdamwRow.MAX_LR, maxLr)
                .set(row, StableAdamwRow.WEIGHT_DECAY, decays ? group.value(WEIGHT_DECAY) : 0)
                .flags(row, Rows.flag(StableAdamwRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(StableAdamwRow.DECOUPLE_LR, decoupled && decays));
    }

    /** The decay rate that makes the average's weights add up to 1 after so many steps. */
    private static double debiased(double beta, double step) {
        double power = CMath.pow(beta, step);
        return (power - beta) / (power - 1);
    }
}
