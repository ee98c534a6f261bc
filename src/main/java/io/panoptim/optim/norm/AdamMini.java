package io.panoptim.optim.norm;

import io.panoptim.PanoptimException;
import io.panoptim.engine.AdamMiniRow;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
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
 * Adam-mini, as its authors' {@code zyushun/Adam-mini}: AdamW with a single second moment for each block of parameters, the average
 * of their squared gradients' mean. Which blocks a tensor has is an option of its group instead of being guessed from its name:
 * {@link #ROWS} are the authors' neurons and tokens (values, projections, MLPs, embedding and output layers); a number of blocks
 * their heads (queries and keys); {@link #TENSOR} all else, such as normalization layers. Biases, for which they use Adam, have
 * {@link #ELEMENTS}, or are given to an {@link io.panoptim.optim.AdamW}. They apply no weight decay to norms and biases: a group
 * of these has a {@code weight_decay} of 0. Tensors of more than one block must be in row-major order. Two passes over memory, the
 * first over the gradient alone.
 *
 * <p>State: {@code step}, {@code m} and {@code vmean}, one float64 number for each block.
 *
 * @see <a href="https://github.com/zyushun/Adam-mini/blob/main/adam_mini/adam_mini.py">zyushun/Adam-mini</a>
 * @see <a href="https://arxiv.org/abs/2406.16793">Zhang et al., Adam-mini: Use Fewer Learning Rates To Gain More</a>
 */
public final class AdamMini extends FusedOptimizer<AdamMini.Options> {
    /** The whole tensor is one block. */
    public static final int TENSOR = 1;
    /** Each index of the first dimension has a block; a tensor of fewer than two dimensions is one. */
    public static final int ROWS = 0;
    /** Each element is a block: Adam. */
    public static final int ELEMENTS = -1;

    /**
     * The options, with the authors' names and defaults; {@code blocks} is this library's.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param eps added to the denominator, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param blocks {@link #ROWS}, {@link #TENSOR}, {@link #ELEMENTS}, or how many blocks of equally many consecutive elements a
     *     tensor has, such as heads; it cannot change after the first step
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double eps, double weightDecay, int blocks, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("AdamMini", lr);
            Check.eps("AdamMini", eps);
            Check.betas("AdamMini", betas);
            Check.weightDecay("AdamMini", weightDecay);
            Check.check(blocks >= ELEMENTS, "AdamMini", "Invalid blocks value: " + blocks + ": expected a number of blocks, 0 for "
                    + "one per row, or -1 for one per element");
        }

        /** The authors' defaults, and one block per row. */
        public static Options defaults() {
            return new Options(1e-3, new Betas(0.9, 0.999), 1e-8, 0, ROWS, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, weightDecay, blocks, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, weightDecay, blocks, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, weightDecay, blocks, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, newWeightDecay, blocks, maximize);
        }

        public Options withBlocks(int newBlocks) {
            return new Options(lr, betas, eps, weightDecay, newBlocks, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, weightDecay, blocks, newMaximize);
        }
    }

    /** The options by the authors' names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("AdamMini", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int BLOCKS = SCHEMA.index("blocks");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** History, after the number of steps taken: the option by which the state has been allocated. */
    private static final int BLOCKS_OF_STATE = 1;

    /** An optimizer of one group on the best engine for its device. */
    public AdamMini(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("AdamMini", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public AdamMini(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.ADAM_MINI, parameters, options);
    }

    @Override
    protected double[] initialHistory(ParamGroup group) {
        return new double[] {0, group.value(BLOCKS)};
    }

    @Override
    protected long rows(ParamGroup group, Parameter parameter) {
        long elements = parameter.value().elements();
        int blocks = (int) group.value(BLOCKS);
        if (blocks == ROWS || elements == 0) {
            return super.rows(group, parameter);
        }
        if (blocks == ELEMENTS) {
            return elements;
        }
        if (elements % blocks != 0) {
            throw PanoptimException.invalid("AdamMini", parameter + " cannot be divided into " + blocks + " blocks: put it into a "
                    + "group whose blocks divide its " + elements + " elements");
        }
        return blocks;
    }

    @Override
    protected int slots(ParamGroup group) {
        return 1;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        if (history[BLOCKS_OF_STATE] != group.value(BLOCKS)) {
            throw PanoptimException.invalid("AdamMini.step", "blocks was " + (int) history[BLOCKS_OF_STATE] + " at the first step, "
                    + "and cannot become " + (int) group.value(BLOCKS) + ": there is state for each block");
        }
        double step = next(history[STEP]);
        next[STEP] = step;
        next[BLOCKS_OF_STATE] = history[BLOCKS_OF_STATE];
        double lr = group.value(LR);
        double beta2 = group.value(BETAS + 1);
        rows.set(row, AdamMiniRow.DECAY, 1 - lr * group.value(WEIGHT_DECAY))
                .set(row, AdamMiniRow.M_WEIGHT, 1 - group.value(BETAS))
                .set(row, AdamMiniRow.VMEAN_DECAY, beta2)
                .set(row, AdamMiniRow.VMEAN_WEIGHT, 1 - beta2)
                .set(row, AdamMiniRow.ROOT_CORRECTION, Math.sqrt(1 - CMath.pow(beta2, step)))
                .set(row, AdamMiniRow.EPS, group.value(EPS))
                .set(row, AdamMiniRow.STEP_SIZE, -(lr / (1 - CMath.pow(group.value(BETAS), step))))
                .flags(row, Rows.flag(AdamMiniRow.MAXIMIZE, group.value(MAXIMIZE) != 0));
    }
}
