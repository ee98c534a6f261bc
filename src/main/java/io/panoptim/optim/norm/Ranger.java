package io.panoptim.optim.norm;

import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.RangerRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.optim.Betas;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.Rectification;
import io.panoptim.optim.wrap.Lookahead;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Ranger, as its author's {@code lessw2020/Ranger-Deep-Learning-Optimizer}: RAdam on gradients that are centralized (each row's mean
 * is taken away), within {@link Lookahead}, whose slow weights start here before a parameter's first step. As long as RAdam's
 * variance is not tractable the step is momentum's alone. Matrices and convolutions must be in row-major order.
 *
 * <p>It differs from the author's in this: {@code use_gc}, which is not looked at there, does what it says; float64 parameters are
 * not updated in float32; and slow weights follow after every {@code k} steps of a group, as in {@code kozistr/pytorch_optimizer},
 * and not of a parameter, which is another time for those that miss steps. That project's Ranger differs in more: it ascends while
 * the variance is not tractable, unless {@code degenerated_to_sgd} is set. The means are taken in float64 and rounded once, so the
 * result can differ from the author's in the last digits. Two passes over memory, the first over the gradient alone, and one for
 * tensors that are not centralized; when it is the slow weights' turn, one more over them and the parameters.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_sq}, {@code slow_buffer}.
 *
 * @see <a href="https://github.com/lessw2020/Ranger-Deep-Learning-Optimizer/blob/master/ranger/ranger.py">lessw2020's ranger.py</a>
 * @see <a href="https://arxiv.org/abs/2004.01461">Yong et al., Gradient Centralization</a>
 */
public final class Ranger extends Lookahead {
    /**
     * The options, with the author's names and defaults; {@code n_sma_threshold} is spelt as elsewhere.
     *
     * @param lr learning rate, at least 0
     * @param alpha how far the slow weights move, in [0, 1]
     * @param k after how many steps, at least 1
     * @param nSmaThreshold the length of RAdam's moving average from which on its variance is tractable, at least 4
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param useGc centralize gradients of two or more dimensions
     * @param gcConvOnly only those of four or more
     * @param maximize ascend instead
     */
    public record Options(double lr, double alpha, int k, double nSmaThreshold, Betas betas, double eps, double weightDecay,
                          boolean useGc, boolean gcConvOnly, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("Ranger", lr);
            Lookahead.Options.check("Ranger", alpha, k);
            Check.check(nSmaThreshold >= 4, "Ranger", "Invalid n_sma_threshold value: " + nSmaThreshold + ": expected at least 4");
            Check.betas("Ranger", betas);
            Check.eps("Ranger", eps);
            Check.weightDecay("Ranger", weightDecay);
        }

        /** The author's defaults. */
        public static Options defaults() {
            return new Options(1e-3, 0.5, 6, 5, new Betas(0.95, 0.999), 1e-5, 0, true, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, alpha, k, nSmaThreshold, betas, eps, weightDecay, useGc, gcConvOnly, maximize);
        }

        public Options withAlpha(double newAlpha) {
            return new Options(lr, newAlpha, k, nSmaThreshold, betas, eps, weightDecay, useGc, gcConvOnly, maximize);
        }

        public Options withK(int newK) {
            return new Options(lr, alpha, newK, nSmaThreshold, betas, eps, weightDecay, useGc, gcConvOnly, maximize);
        }

        public Options withNSmaThreshold(double newNSmaThreshold) {
            return new Options(lr, alpha, k, newNSmaThreshold, betas, eps, weightDecay, useGc, gcConvOnly, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, alpha, k, nSmaThreshold, new Betas(first, second), eps, weightDecay, useGc, gcConvOnly, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, alpha, k, nSmaThreshold, betas, newEps, weightDecay, useGc, gcConvOnly, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, alpha, k, nSmaThreshold, betas, eps, newWeightDecay, useGc, gcConvOnly, maximize);
        }

        public Options withUseGc(boolean newUseGc) {
            return new Options(lr, alpha, k, nSmaThreshold, betas, eps, weightDecay, newUseGc, gcConvOnly, maximize);
        }

        public Options withGcConvOnly(boolean newGcConvOnly) {
            return new Options(lr, alpha, k, nSmaThreshold, betas, eps, weightDecay, useGc, newGcConvOnly, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, alpha, k, nSmaThreshold, betas, eps, weightDecay, useGc, gcConvOnly, newMaximize);
        }
    }

    /** The options by the author's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Ranger", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int ALPHA = SCHEMA.index("alpha");
    private static final int K = SCHEMA.index("k");
    private static final int N_SMA_THRESHOLD = SCHEMA.index("n_sma_threshold");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int USE_GC = SCHEMA.index("use_gc");
    private static final int GC_CONV_ONLY = SCHEMA.index("gc_conv_only");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    private final RangerBase base;

    /** An optimizer of one group on the best engine for its device. */
    public Ranger(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Ranger", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Ranger(Engine engine, List<Parameter> parameters, Options options) {
        this(new RangerBase(engine, parameters, options));
    }

    private Ranger(RangerBase base) {
        super(base, Lookahead.Options.defaults(), "slow_buffer", true);
        this.base = base;
    }

    /** Adds a group with options of its own. */
    public void addParamGroup(List<Parameter> parameters, Options options) {
        base.addParamGroup(parameters, options);
    }

    @Override
    protected double alpha(ParamGroup group) {
        return group.value(ALPHA);
    }

    @Override
    protected int k(ParamGroup group) {
        return (int) group.value(K);
    }

    /** What the slow weights follow. */
    private static final class RangerBase extends ByDimensions<Options> {
        RangerBase(Engine engine, List<Parameter> parameters, Options options) {
            super(engine, SCHEMA, Rule.RANGER, parameters, options);
        }

        /** For messages: users do not know of two. */
        @Override
        public String name() {
            return "Ranger";
        }

        @Override
        protected int slots(ParamGroup group) {
            return 2;
        }

        @Override
        void row(ParamGroup group, double[] history, double[] next, int dimensions, Rows rows, int row) {
            double step = next(history[STEP]);
            next[STEP] = step;
            double lr = group.value(LR);
            double beta1 = group.value(BETAS);
            double beta2 = group.value(BETAS + 1);
            double power2 = CMath.pow(beta2, step);
            double length = Rectification.length(beta2, step, power2);
            boolean rectified = length > group.value(N_SMA_THRESHOLD);
            double rectification = rectified ? Rectification.correctedFactor(length, Rectification.longest(beta2), power2) : 1;
            double decay = group.value(WEIGHT_DECAY);
            rows.set(row, RangerRow.DECAY, -decay * lr)
                    .set(row, RangerRow.EXP_AVG_DECAY, beta1)
                    .set(row, RangerRow.EXP_AVG_WEIGHT, 1 - beta1)
                    .set(row, RangerRow.EXP_AVG_SQ_DECAY, beta2)
                    .set(row, RangerRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                    .set(row, RangerRow.EPS, group.value(EPS))
                    .set(row, RangerRow.STEP_SIZE, -(rectification / (1 - CMath.pow(beta1, step))) * lr)
                    .flags(row, Rows.flag(RangerRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                            | Rows.flag(RangerRow.CENTRALIZES, centralizes(group, dimensions))
                            | Rows.flag(RangerRow.DECAYS, decay != 0)
                            | Rows.flag(RangerRow.RECTIFIED, rectified));
        }

        private static boolean centralizes(ParamGroup group, int dimensions) {
            return group.value(USE_GC) != 0 && dimensions > (group.value(GC_CONV_ONLY) != 0 ? 3 : 1);
        }
    }
}
