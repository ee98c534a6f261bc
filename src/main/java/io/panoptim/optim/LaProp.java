package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.LapropRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Map;

/**
 * LaProp, as timm's {@code timm.optim.LaProp}: momentum of gradients that were normalized first. The learning rate enters the
 * momentum, and the correction of its bias therefore follows the learning rate. The parameter shrinks after the update. With
 * timm's {@code caution} the step is left out where it goes against the gradient and elsewhere divided by the part of the tensor
 * that is left (at least 0.001), which takes a pass of its own. timm's {@code corrected_weight_decay} is not offered.
 *
 * <p>At a learning rate of 0 the parameter goes on along what the momentum has gathered before, which already contains the learning
 * rates of its time, as in timm.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_lr_1} (a float64 number, for the correction of {@code exp_avg}),
 * {@code exp_avg_lr_2} (a float32 number also for float64 parameters, for that of {@code exp_avg_sq}), {@code exp_avg_sq}.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/laprop.py">timm.optim.LaProp</a>
 * @see <a href="https://arxiv.org/abs/2002.04839">Ziyin et al., LaProp: Separating Momentum and Adaptivity in Adam</a>
 * @see <a href="https://arxiv.org/abs/2411.16085">Liang et al., Cautious Optimizers: Improving Training with One Line of Code</a>
 */
public final class LaProp extends FusedOptimizer<LaProp.Options> {
    /**
     * The options, with timm's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the momentum and of the second moment, each in [0, 1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param maximize ascend instead
     * @param caution leave out where the step goes against the gradient, and enlarge the rest
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, boolean maximize, boolean caution) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("LaProp", lr);
            Check.eps("LaProp", eps);
            Check.betas("LaProp", betas);
            Check.weightDecay("LaProp", weightDecay);
        }

        /** timm's defaults. */
        public static Options defaults() {
            return new Options(4e-4, new Betas(0.9, 0.999), 1e-15, 0, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, maximize, caution);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, maximize, caution);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, maximize, caution);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, maximize, caution);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, newMaximize, caution);
        }

        public Options withCaution(boolean newCaution) {
            return new Options(lr, betas, eps, weightDecay, maximize, newCaution);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("LaProp", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MAXIMIZE = SCHEMA.index("maximize");
    private static final int CAUTION = SCHEMA.index("caution");

    /** History, after the number of steps taken: the averages of the learning rate and of 1, in float64 and float32. */
    private static final int EXP_AVG_LR_1 = 1;
    private static final int EXP_AVG_LR_2 = 2;

    /** An optimizer of one group on the best engine for its device. */
    public LaProp(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("LaProp", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public LaProp(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.LAPROP, parameters, options);
    }

    @Override
    protected double[] initialHistory(ParamGroup group) {
        return new double[3];
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double lr = group.value(LR);
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        double decay = group.value(WEIGHT_DECAY);
        next[STEP] = next(history[STEP]);
        next[EXP_AVG_LR_1] = history[EXP_AVG_LR_1] * beta1 + (1 - beta1) * lr;
        next[EXP_AVG_LR_2] = (float) history[EXP_AVG_LR_2] * (float) beta2 + (float) (1 - beta2);
        double correction1 = lr != 0 ? next[EXP_AVG_LR_1] / lr : 1;
        rows.set(row, LapropRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, LapropRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, LapropRow.CORRECTION, next[EXP_AVG_LR_2])
                .set(row, LapropRow.EPS, group.value(EPS))
                .set(row, LapropRow.EXP_AVG_DECAY, beta1)
                .set(row, LapropRow.EXP_AVG_WEIGHT, lr * (1 - beta1))
                .set(row, LapropRow.STEP_SIZE, -(1 / correction1))
                .set(row, LapropRow.DECAY, -lr * decay)
                .flags(row, Rows.flag(LapropRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(LapropRow.DECOUPLED, decay != 0)
                        | Rows.flag(LapropRow.CAUTIOUS, group.value(CAUTION) != 0));
    }

    @Override
    protected Map<String, Integer> numbers() {
        return Map.of("step", STEP, "exp_avg_lr_1", EXP_AVG_LR_1, "exp_avg_lr_2", EXP_AVG_LR_2);
    }

    @Override
    protected DType numberType(String key) {
        return key.equals("exp_avg_lr_1") ? DType.FLOAT64 : super.numberType(key);
    }
}
