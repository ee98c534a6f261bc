package io.panoptim.optim.norm;

import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.MarsRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.optim.Betas;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Optional;

/**
 * MARS, as timm's {@code timm.optim.Mars}: AdamW or Lion on gradients whose variance is reduced by the gradient of the step before,
 * {@code g + gamma * beta1 / (1 - beta1) * (g - last_grad)}, each tensor's clipped to norm 1. The first step takes the gradient as it
 * is, which is timm's addition; the authors' {@code AGI-Arena/MARS} begins with a last gradient of zeros, and has another default
 * for {@code betas}, (0.95, 0.99). Tensors of fewer than two dimensions are left to AdamW unless {@code optimize_1d} says otherwise.
 * Weight decay is part of the step: {@code lr * weight_decay * p}, of the parameter as it was.
 *
 * <p>The last gradient is a copy here: timm keeps the gradient itself, and sees no difference where one is accumulated in place.
 * The sums are taken in float64, so the result can differ from timm's in the last digits. timm's {@code caution}, which needs the
 * clipped gradient before it can count and so a third pass, is not offered. Two passes over memory: the corrected gradient, whose
 * norm the first one takes, is computed again in the second instead of being kept, which would take a third. One is enough in a
 * tensor's first step, and for those whose gradients are not corrected.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code last_grad} and, but where Lion has all tensors, {@code exp_avg_sq}.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/mars.py">timm.optim.Mars</a>
 * @see <a href="https://arxiv.org/abs/2411.10438">Yuan et al., MARS: Unleashing the Power of Variance Reduction for Training Large
 *     Models</a>
 */
public final class MARS extends ByDimensions<MARS.Options> {
    /** What takes the corrected gradients. */
    public enum Type { ADAMW, LION }

    /**
     * The options, with timm's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param gamma how much of the difference of gradients is added
     * @param marsType what takes the corrected gradients
     * @param optimize1d correct the gradients of tensors of fewer than two dimensions too, instead of leaving them to AdamW
     * @param lr1dFactor times the learning rate is that of tensors left to AdamW, at least 0
     * @param betas1d decay rates for tensors left to AdamW; none for {@code betas}
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, double gamma, Type marsType, boolean optimize1d,
                          double lr1dFactor, Optional<Betas> betas1d, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("MARS", lr);
            Check.eps("MARS", eps);
            Check.betas("MARS", betas);
            betas1d.ifPresent(present -> Check.betas("MARS", present));
            Check.weightDecay("MARS", weightDecay);
            Check.aNumber("MARS", "gamma", gamma);
            Check.atLeastZero("MARS", "lr_1d_factor", lr1dFactor);
        }

        /** timm's defaults. */
        public static Options defaults() {
            return new Options(3e-3, new Betas(0.9, 0.99), 1e-8, 0, 0.025, Type.ADAMW, false, 1, Optional.empty(), false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, gamma, marsType, optimize1d, lr1dFactor, betas1d, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, gamma, marsType, optimize1d, lr1dFactor, betas1d,
                    maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, gamma, marsType, optimize1d, lr1dFactor, betas1d, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, gamma, marsType, optimize1d, lr1dFactor, betas1d, maximize);
        }

        public Options withGamma(double newGamma) {
            return new Options(lr, betas, eps, weightDecay, newGamma, marsType, optimize1d, lr1dFactor, betas1d, maximize);
        }

        public Options withMarsType(Type newMarsType) {
            return new Options(lr, betas, eps, weightDecay, gamma, newMarsType, optimize1d, lr1dFactor, betas1d, maximize);
        }

        public Options withOptimize1d(boolean newOptimize1d) {
            return new Options(lr, betas, eps, weightDecay, gamma, marsType, newOptimize1d, lr1dFactor, betas1d, maximize);
        }

        public Options withLr1dFactor(double newLr1dFactor) {
            return new Options(lr, betas, eps, weightDecay, gamma, marsType, optimize1d, newLr1dFactor, betas1d, maximize);
        }

        public Options withBetas1d(Optional<Betas> newBetas1d) {
            return new Options(lr, betas, eps, weightDecay, gamma, marsType, optimize1d, lr1dFactor, newBetas1d, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, gamma, marsType, optimize1d, lr1dFactor, betas1d, newMaximize);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("MARS", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int GAMMA = SCHEMA.index("gamma");
    private static final int MARS_TYPE = SCHEMA.index("mars_type");
    private static final int OPTIMIZE_1D = SCHEMA.index("optimize_1d");
    private static final int LR_1D_FACTOR = SCHEMA.index("lr_1d_factor");
    private static final int BETAS_1D = SCHEMA.index("betas_1d");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public MARS(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("MARS", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public MARS(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.MARS, parameters, options);
    }

    private static boolean isLion(ParamGroup group) {
        return group.value(MARS_TYPE) == Type.LION.ordinal();
    }

    private static boolean hasAllTensors(ParamGroup group) {
        return group.value(OPTIMIZE_1D) != 0;
    }

    @Override
    protected int slots(ParamGroup group) {
        return isLion(group) && hasAllTensors(group) ? 2 : 3;
    }

    @Override
    void row(ParamGroup group, double[] history, double[] next, int dimensions, Rows rows, int row) {
        double step = next(history[STEP]);
        next[STEP] = step;
        boolean reduces = hasAllTensors(group) || dimensions > 1;
        double lr = group.value(LR);
        int betas = reduces || Double.isNaN(group.value(BETAS_1D)) ? BETAS : BETAS_1D;
        double beta1 = group.value(betas);
        double beta2 = group.value(betas + 1);
        rows.set(row, MarsRow.WEIGHT_DECAY, group.value(WEIGHT_DECAY))
                .set(row, MarsRow.VARIANCE_REDUCTION, group.value(GAMMA) * (beta1 / (1 - beta1)))
                .set(row, MarsRow.EXP_AVG_DECAY, beta1)
                .set(row, MarsRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, MarsRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, MarsRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, MarsRow.CORRECTION, 1 - CMath.pow(beta1, step))
                .set(row, MarsRow.ROOT_CORRECTION, Math.sqrt(1 - CMath.pow(beta2, step)))
                .set(row, MarsRow.EPS, group.value(EPS))
                .set(row, MarsRow.STEP_SIZE, -(reduces ? lr : lr * group.value(LR_1D_FACTOR)))
                .flags(row, Rows.flag(MarsRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(MarsRow.CORRECTS, reduces && step > 1)
                        | Rows.flag(MarsRow.LION, reduces && isLion(group)));
    }
}
