package io.panoptim.optim;

import io.panoptim.engine.AdanRow;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Adan, as timm's {@code timm.optim.Adan} and, without its clipping, the authors' {@code sail-sg/Adan}: Adam with averages of
 * the gradient, of its differences, and of the square of both together. Steps are counted per parameter, as everywhere here;
 * the two count them per group, so that their bias corrections differ for a parameter that lacked a gradient. timm's {@code
 * caution} is not offered.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_sq}, {@code exp_avg_diff} and {@code neg_pre_grad}, the previous
 * gradient with its sign turned, as both store it.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/adan.py">timm.optim.Adan</a>
 * @see <a href="https://github.com/sail-sg/Adan">sail-sg/Adan</a>
 * @see <a href="https://arxiv.org/abs/2208.06677">Xie et al., Adan: Adaptive Nesterov Momentum Algorithm</a>
 */
public final class Adan extends FusedOptimizer<Adan.Options> {
    /**
     * The options, with timm's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the averages of the gradient, of its differences and of the square, each in [0, 1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param noProx shrink the parameter before the update, as AdamW does, instead of dividing it afterwards
     * @param maximize ascend instead
     */
    public record Options(double lr, ThreeBetas betas, double eps, double weightDecay, boolean noProx, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("Adan", lr);
            Check.eps("Adan", eps);
            Check.betas("Adan", betas);
            Check.weightDecay("Adan", weightDecay);
        }

        /** timm's and the authors' defaults. */
        public static Options defaults() {
            return new Options(1e-3, new ThreeBetas(0.98, 0.92, 0.99), 1e-8, 0, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, noProx, maximize);
        }

        public Options withBetas(double first, double second, double third) {
            return new Options(lr, new ThreeBetas(first, second, third), eps, weightDecay, noProx, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, noProx, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, noProx, maximize);
        }

        public Options withNoProx(boolean newNoProx) {
            return new Options(lr, betas, eps, weightDecay, newNoProx, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, noProx, newMaximize);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Adan", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int NO_PROX = SCHEMA.index("no_prox");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public Adan(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Adan", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Adan(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.ADAN, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 4;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double step = next(history[STEP]);
        next[STEP] = step;
        double lr = group.value(LR);
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        double beta3 = group.value(BETAS + 2);
        double decay = lr * group.value(WEIGHT_DECAY);
        boolean first = group.value(NO_PROX) != 0;
        rows.set(row, AdanRow.DECAY, first ? 1 - decay : 1)
                .set(row, AdanRow.EXP_AVG_DECAY, beta1)
                .set(row, AdanRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, AdanRow.EXP_AVG_DIFF_DECAY, beta2)
                .set(row, AdanRow.EXP_AVG_DIFF_WEIGHT, 1 - beta2)
                .set(row, AdanRow.EXP_AVG_SQ_DECAY, beta3)
                .set(row, AdanRow.EXP_AVG_SQ_WEIGHT, 1 - beta3)
                .set(row, AdanRow.ROOT_CORRECTION, Math.sqrt(1.0 - CMath.pow(beta3, step)))
                .set(row, AdanRow.EPS, group.value(EPS))
                .set(row, AdanRow.STEP_SIZE, -(lr / (1.0 - CMath.pow(beta1, step))))
                .set(row, AdanRow.DIFF_STEP_SIZE, -(lr * beta2 / (1.0 - CMath.pow(beta2, step))))
                .set(row, AdanRow.PROXIMITY, first ? 1 : 1 + decay)
                .flags(row, Rows.flag(AdanRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(AdanRow.FIRST, history[STEP] == 0));
    }
}
