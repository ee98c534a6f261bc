package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.LionRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Map;

/**
 * Lion, as timm's {@code timm.optim.Lion}, which is the paper's algorithm as its authors at Google wrote it: the parameter moves
 * by the learning rate in the direction of the sign of an average between momentum and gradient, and the momentum then decays at
 * another rate. Where that average is 0 (or NaN) the sign is 0 and the parameter stays, as the formula says; DeepSpeed's kernels
 * differ, and move it by the learning rate there: up on CUDA, by the sign bit of the zero on CPUs. With timm's {@code caution} the
 * step is left out where it goes against the gradient and elsewhere divided by the part of the tensor that is left (at least
 * 0.001), which takes a pass of its own. timm's {@code corrected_weight_decay} is not offered.
 *
 * <p>State: {@code exp_avg}.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/lion.py">timm.optim.Lion</a>
 * @see <a href="https://arxiv.org/abs/2302.06675">Chen et al., Symbolic Discovery of Optimization Algorithms</a>
 * @see <a href="https://arxiv.org/abs/2411.16085">Liang et al., Cautious Optimizers: Improving Training with One Line of Code</a>
 */
public final class Lion extends FusedOptimizer<Lion.Options> {
    /**
     * The options, with timm's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas the momentum's share in the direction, and its decay rate, each in [0, 1)
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param maximize ascend instead
     * @param caution leave out where the step goes against the gradient, and enlarge the rest
     */
    public record Options(double lr, Betas betas, double weightDecay, boolean maximize, boolean caution) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("Lion", lr);
            Check.betas("Lion", betas);
            Check.weightDecay("Lion", weightDecay);
        }

        /** timm's defaults. */
        public static Options defaults() {
            return new Options(1e-4, new Betas(0.9, 0.99), 0, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, weightDecay, maximize, caution);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), weightDecay, maximize, caution);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, newWeightDecay, maximize, caution);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, weightDecay, newMaximize, caution);
        }

        public Options withCaution(boolean newCaution) {
            return new Options(lr, betas, weightDecay, maximize, newCaution);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Lion", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MAXIMIZE = SCHEMA.index("maximize");
    private static final int CAUTION = SCHEMA.index("caution");

    /** An optimizer of one group on the best engine for its device. */
    public Lion(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Lion", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Lion(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.LION, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 1;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double lr = group.value(LR);
        double beta1 = group.value(BETAS);
        rows.set(row, LionRow.DECAY, 1 - lr * group.value(WEIGHT_DECAY))
                .set(row, LionRow.DIRECTION_DECAY, beta1)
                .set(row, LionRow.DIRECTION_WEIGHT, 1 - beta1)
                .set(row, LionRow.EXP_AVG_WEIGHT, 1 - group.value(BETAS + 1))
                .set(row, LionRow.STEP_SIZE, -lr)
                .flags(row, Rows.flag(LionRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(LionRow.CAUTIOUS, group.value(CAUTION) != 0));
    }

    @Override
    protected Map<String, Integer> numbers() {
        return Map.of();
    }
}
