package io.panoptim.optim;

import io.panoptim.engine.AdabeliefRow;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * AdaBelief, as timm's {@code timm.optim.AdaBelief}, itself the authors': Adam with the variance of the gradient around its
 * average in place of the second moment, by default rectified as in RAdam. As there, {@code eps} enters twice, under the root,
 * where it stays in the state and so accumulates, and after it; the rectified form ignores AMSGrad's maximum. (optax's
 * {@code adabelief} is neither rectified nor decoupled, and has another epsilon for each of the two places.)
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_var} and, with AMSGrad, {@code max_exp_avg_var}.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/adabelief.py">timm.optim.AdaBelief</a>
 * @see <a href="https://arxiv.org/abs/2010.07468">Zhuang et al., AdaBelief Optimizer</a>
 */
public final class AdaBelief extends FusedOptimizer<AdaBelief.Options> {
    /**
     * The options, with timm's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the average and of the variance, each in [0, 1)
     * @param eps added to the variance, and to the denominator, at least 0
     * @param weightDecay at least 0: relative shrinking per step, or else an L2 penalty
     * @param amsgrad divide by the maximum of the variance so far; without effect if rectified
     * @param decoupledDecay shrink the parameter, as AdamW does, instead of adding to the gradient
     * @param fixedDecay shrink it independently of the learning rate
     * @param rectify adaptive only once the variance is tractable
     * @param degeneratedToSgd until then momentum alone, instead of no update
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, boolean amsgrad, boolean decoupledDecay,
                          boolean fixedDecay, boolean rectify, boolean degeneratedToSgd, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("AdaBelief", lr);
            Check.eps("AdaBelief", eps);
            Check.betas("AdaBelief", betas);
            Check.weightDecay("AdaBelief", weightDecay);
        }

        /** timm's defaults. */
        public static Options defaults() {
            return new Options(1e-3, new Betas(0.9, 0.999), 1e-16, 0, false, true, false, true, true, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, amsgrad, decoupledDecay, fixedDecay, rectify,
                    degeneratedToSgd, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, amsgrad, decoupledDecay, fixedDecay, rectify,
                    degeneratedToSgd, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, amsgrad, decoupledDecay, fixedDecay, rectify,
                    degeneratedToSgd, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, amsgrad, decoupledDecay, fixedDecay, rectify,
                    degeneratedToSgd, maximize);
        }

        public Options withAmsgrad(boolean newAmsgrad) {
            return new Options(lr, betas, eps, weightDecay, newAmsgrad, decoupledDecay, fixedDecay, rectify,
                    degeneratedToSgd, maximize);
        }

        public Options withDecoupledDecay(boolean newDecoupledDecay) {
            return new Options(lr, betas, eps, weightDecay, amsgrad, newDecoupledDecay, fixedDecay, rectify,
                    degeneratedToSgd, maximize);
        }

        public Options withFixedDecay(boolean newFixedDecay) {
            return new Options(lr, betas, eps, weightDecay, amsgrad, decoupledDecay, newFixedDecay, rectify,
                    degeneratedToSgd, maximize);
        }

        public Options withRectify(boolean newRectify) {
            return new Options(lr, betas, eps, weightDecay, amsgrad, decoupledDecay, fixedDecay, newRectify,
                    degeneratedToSgd, maximize);
        }

        public Options withDegeneratedToSgd(boolean newDegeneratedToSgd) {
            return new Options(lr, betas, eps, weightDecay, amsgrad, decoupledDecay, fixedDecay, rectify,
                    newDegeneratedToSgd, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, amsgrad, decoupledDecay, fixedDecay, rectify, degeneratedToSgd,
                    newMaximize);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("AdaBelief", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int AMSGRAD = SCHEMA.index("amsgrad");
    private static final int DECOUPLED_DECAY = SCHEMA.index("decoupled_decay");
    private static final int FIXED_DECAY = SCHEMA.index("fixed_decay");
    private static final int RECTIFY = SCHEMA.index("rectify");
    private static final int DEGENERATED_TO_SGD = SCHEMA.index("degenerated_to_sgd");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public AdaBelief(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("AdaBelief", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public AdaBelief(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.ADABELIEF, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return group.value(AMSGRAD) != 0 ? 3 : 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double step = next(history[STEP]);
        next[STEP] = step;
        double lr = group.value(LR);
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        double decay = group.value(WEIGHT_DECAY);
        boolean decoupled = group.value(DECOUPLED_DECAY) != 0;
        boolean rectify = group.value(RECTIFY) != 0;
        double correction1 = 1 - CMath.pow(beta1, step);
        double power2 = CMath.pow(beta2, step);
        double length = Rectification.length(beta2, step, power2);
        boolean adaptive = !rectify || length >= 5;
        double factor = rectify && adaptive ? Rectification.correctedFactor(length, Rectification.longest(beta2), power2) : 1.0;
        rows.set(row, AdabeliefRow.DECAY, !decoupled ? 1 : 1 - (group.value(FIXED_DECAY) != 0 ? decay : lr * decay))
                .set(row, AdabeliefRow.WEIGHT_DECAY, decay)
                .set(row, AdabeliefRow.EXP_AVG_DECAY, beta1)
                .set(row, AdabeliefRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, AdabeliefRow.EXP_AVG_VAR_DECAY, beta2)
                .set(row, AdabeliefRow.EXP_AVG_VAR_WEIGHT, 1 - beta2)
                .set(row, AdabeliefRow.ROOT_CORRECTION, rectify ? 1 : Math.sqrt(1 - power2))
                .set(row, AdabeliefRow.EPS, group.value(EPS))
                .set(row, AdabeliefRow.STEP_SIZE, rectify ? -(factor / correction1) * lr : -(lr / correction1))
                .flags(row, Rows.flag(AdabeliefRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(AdabeliefRow.L2, !decoupled && decay != 0)
                        | Rows.flag(AdabeliefRow.RECTIFY, rectify)
                        | Rows.flag(AdabeliefRow.ADAPTIVE, adaptive)
                        | Rows.flag(AdabeliefRow.IDLE, !adaptive && group.value(DEGENERATED_TO_SGD) == 0));
    }
}
