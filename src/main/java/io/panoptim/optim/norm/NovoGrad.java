package io.panoptim.optim.norm;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.NovogradRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.optim.Betas;
import io.panoptim.optim.Check;
import io.panoptim.optim.FusedOptimizer;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * NovoGrad, as {@code timm.optim.NvNovoGrad}, which is NVIDIA's own first one, and the paper's algorithm: each tensor's gradient
 * is divided by the root of one second moment, the average of its squared norm, which begins as that of the first gradient; then
 * come the weight decay, the average and the step. Nothing is corrected for bias.
 *
 * <p>Sources disagree. apex's {@code FusedNovoGrad} averages the norm's square likewise, but corrects both moments for bias, adds
 * the weight decay inside or outside the average, and has betas of 0.9 and 0.999; optax is as timm with betas of 0.9 and 0.25. This
 * follows timm, which has the paper's algorithm step by step.
 * The second moment here is a float64 number for each tensor, in timm one of torch's default type.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_sq} (one number); with {@code amsgrad} also {@code max_exp_avg_sq} (one
 * number). Two passes over memory, the first over the gradient alone.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/nvnovograd.py">timm.optim.NvNovoGrad</a>
 * @see <a href="https://arxiv.org/abs/1905.11286">Ginsburg et al., Training of Deep Networks with Layer-wise Adaptive Moments</a>
 */
public final class NovoGrad extends FusedOptimizer<NovoGrad.Options> {
    /**
     * The options, with timm's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay at least 0: this part of the parameter is added to the normalized gradient
     * @param gradAveraging multiply the normalized gradient by 1 minus the first decay rate when it enters the average
     * @param amsgrad divide by the root of the largest second moment so far
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, boolean gradAveraging, boolean amsgrad, boolean
                          maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("NovoGrad", lr);
            Check.eps("NovoGrad", eps);
            Check.betas("NovoGrad", betas);
            Check.weightDecay("NovoGrad", weightDecay);
        }

        /** timm's defaults. */
        public static Options defaults() {
            return new Options(1e-3, new Betas(0.95, 0.98), 1e-8, 0, false, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, gradAveraging, amsgrad, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, gradAveraging, amsgrad, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, gradAveraging, amsgrad, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, gradAveraging, amsgrad, maximize);
        }

        public Options withGradAveraging(boolean newGradAveraging) {
            return new Options(lr, betas, eps, weightDecay, newGradAveraging, amsgrad, maximize);
        }

        public Options withAmsgrad(boolean newAmsgrad) {
            return new Options(lr, betas, eps, weightDecay, gradAveraging, newAmsgrad, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, gradAveraging, amsgrad, newMaximize);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("NovoGrad", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int GRAD_AVERAGING = SCHEMA.index("grad_averaging");
    private static final int AMSGRAD = SCHEMA.index("amsgrad");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public NovoGrad(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("NovoGrad", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public NovoGrad(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.NOVOGRAD, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 1;
    }

    @Override
    protected boolean showsSharedState(ParamGroup group, String key) {
        return group.value(AMSGRAD) != 0 || !key.equals("max_exp_avg_sq");
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        next[STEP] = next(history[STEP]);
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        double decay = group.value(WEIGHT_DECAY);
        rows.set(row, NovogradRow.WEIGHT_DECAY, decay)
                .set(row, NovogradRow.EXP_AVG_DECAY, beta1)
                .set(row, NovogradRow.EXP_AVG_WEIGHT, group.value(GRAD_AVERAGING) != 0 ? 1 - beta1 : 1)
                .set(row, NovogradRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, NovogradRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, NovogradRow.EPS, group.value(EPS))
                .set(row, NovogradRow.STEP_SIZE, -group.value(LR))
                .flags(row, Rows.flag(NovogradRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(NovogradRow.L2, decay != 0)
                        | Rows.flag(NovogradRow.AMSGRAD, group.value(AMSGRAD) != 0));
    }
}
