package io.panoptim.optim.norm;

import io.panoptim.engine.AdampRow;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.optim.Betas;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * AdamP, as timm's {@code timm.optim.AdamP}, itself its authors': Adam that does not let the norm of scale-invariant weights grow.
 * Where a tensor of two or more dimensions is orthogonal to its gradient in every channel (row), or otherwise as a whole, the step
 * loses its part along the parameters, in each channel or as a whole, and the weights decay less. Orthogonal means a cosine below
 * {@code delta} over the root of the number of elements compared. Such tensors must be in row-major order.
 *
 * <p>The sums are taken in float64 here, so the result can differ from timm's in the last digits, and where a cosine is that near
 * to the limit, in the choice. timm's {@code caution}, which projects a second time, is not offered. Two passes over memory,
 * and one for tensors of fewer than two dimensions.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_sq}.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/adamp.py">timm.optim.AdamP</a>
 * @see <a href="https://arxiv.org/abs/2006.08217">Heo et al., AdamP: Slowing Down the Slowdown for Momentum Optimizers on
 *     Scale-invariant Weights</a>
 */
public final class AdamP extends ByDimensions<AdamP.Options> {
    /**
     * The options, with timm's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param eps added to the denominator, and the least that norms count as, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param delta limit of the cosine, times the root of the number of elements
     * @param wdRatio what of the weight decay is left where the step is projected
     * @param nesterov average the gradient in once more for the step
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, double delta, double wdRatio, boolean nesterov,
                          boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("AdamP", lr);
            Check.eps("AdamP", eps);
            Check.betas("AdamP", betas);
            Check.weightDecay("AdamP", weightDecay);
            Check.aNumber("AdamP", "delta", delta);
            Check.aNumber("AdamP", "wd_ratio", wdRatio);
        }

        /** timm's defaults. */
        public static Options defaults() {
            return new Options(1e-3, new Betas(0.9, 0.999), 1e-8, 0, 0.1, 0.1, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, delta, wdRatio, nesterov, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, delta, wdRatio, nesterov, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, delta, wdRatio, nesterov, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, delta, wdRatio, nesterov, maximize);
        }

        public Options withDelta(double newDelta) {
            return new Options(lr, betas, eps, weightDecay, newDelta, wdRatio, nesterov, maximize);
        }

        public Options withWdRatio(double newWdRatio) {
            return new Options(lr, betas, eps, weightDecay, delta, newWdRatio, nesterov, maximize);
        }

        public Options withNesterov(boolean newNesterov) {
            return new Options(lr, betas, eps, weightDecay, delta, wdRatio, newNesterov, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, delta, wdRatio, nesterov, newMaximize);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("AdamP", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int DELTA = SCHEMA.index("delta");
    private static final int WD_RATIO = SCHEMA.index("wd_ratio");
    private static final int NESTEROV = SCHEMA.index("nesterov");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public AdamP(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("AdamP", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public AdamP(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.ADAMP, parameters, options);
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
        double decay = group.value(WEIGHT_DECAY);
        rows.set(row, AdampRow.DECAY, 1 - lr * decay)
                .set(row, AdampRow.PROJECTED_DECAY, 1 - lr * decay * group.value(WD_RATIO))
                .set(row, AdampRow.EXP_AVG_DECAY, beta1)
                .set(row, AdampRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, AdampRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, AdampRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, AdampRow.ROOT_CORRECTION, Math.sqrt(1 - CMath.pow(beta2, step)))
                .set(row, AdampRow.EPS, group.value(EPS))
                .set(row, AdampRow.DELTA, group.value(DELTA))
                .set(row, AdampRow.STEP_SIZE, -(lr / (1 - CMath.pow(beta1, step))))
                .flags(row, Rows.flag(AdampRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(AdampRow.NESTEROV, group.value(NESTEROV) != 0)
                        | Rows.flag(AdampRow.PROJECTS, dimensions > 1));
    }
}
