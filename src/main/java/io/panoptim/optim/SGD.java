package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.SgdRow;
import io.panoptim.engine.SparseSgdRow;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Map;

/**
 * Stochastic gradient descent, optionally with momentum, as {@code torch.optim.SGD}.
 *
 * <p>The first step fills the momentum buffer with the gradient itself, without dampening. State: {@code momentum_buffer},
 * with momentum only.
 *
 * <p>Gradients may be sparse, without weight decay. Without momentum each of repeated indices is a step of its own. With momentum
 * a step moves every row that has had a gradient, and repeated indices are added up first. So does torch if the gradient was
 * coalesced; if not, its buffer keeps an entry for each, grows from step to step and rounds differently. The buffer that torch
 * has as a sparse tensor is a dense one here, with zeros in the other rows.
 *
 * <p>With {@code caution}, as timm's {@code SGDW} and not torch has it, a step is left out where it goes against the gradient (the
 * L2 penalty included) and elsewhere divided by the part of the tensor that is left (at least 0.001), which takes a pass of its
 * own. Without momentum it changes nothing; with momentum gradients cannot be sparse.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html">torch.optim.SGD</a>
 * @see <a href="https://arxiv.org/abs/2411.16085">Liang et al., Cautious Optimizers: Improving Training with One Line of Code</a>
 */
public final class SGD extends FusedOptimizer<SGD.Options> {
    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param momentum at least 0; 0 for none
     * @param dampening of the gradient that enters the buffer
     * @param weightDecay L2 penalty, at least 0
     * @param nesterov needs momentum and no dampening
     * @param maximize ascend instead
     * @param caution leave out where the step goes against the gradient, and enlarge the rest
     */
    public record Options(double lr, double momentum, double dampening, double weightDecay, boolean nesterov,
                          boolean maximize, boolean caution) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("SGD", lr);
            Check.momentum("SGD", momentum);
            Check.aNumber("SGD", "dampening", dampening);
            Check.weightDecay("SGD", weightDecay);
            Check.check(!nesterov || momentum > 0 && dampening == 0, "SGD",
                    "Nesterov momentum requires a momentum and zero dampening");
        }

        /** torch's defaults: a learning rate of 0.001 and nothing else. */
        public static Options defaults() {
            return new Options(1e-3, 0, 0, 0, false, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, momentum, dampening, weightDecay, nesterov, maximize, caution);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, newMomentum, dampening, weightDecay, nesterov, maximize, caution);
        }

        public Options withDampening(double newDampening) {
            return new Options(lr, momentum, newDampening, weightDecay, nesterov, maximize, caution);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, momentum, dampening, newWeightDecay, nesterov, maximize, caution);
        }

        public Options withNesterov(boolean newNesterov) {
            return new Options(lr, momentum, dampening, weightDecay, newNesterov, maximize, caution);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, newMaximize, caution);
        }

        public Options withCaution(boolean newCaution) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, maximize, newCaution);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("SGD", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int MOMENTUM = SCHEMA.index("momentum");
    private static final int DAMPENING = SCHEMA.index("dampening");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int NESTEROV = SCHEMA.index("nesterov");
    private static final int MAXIMIZE = SCHEMA.index("maximize");
    private static final int CAUTION = SCHEMA.index("caution");

    /** History: with what kind of gradient the momentum buffer has been filled, or 0. */
    private static final int FILLED = 0;
    private static final double DENSE = 1;
    private static final double SPARSE = 2;

    private static final String UNLIKE = ": add(sparse, dense) is not supported. Use add(dense, sparse) instead.";

    /** An optimizer of one group on the best engine for its device. */
    public SGD(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("SGD", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public SGD(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.SGD, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return group.value(MOMENTUM) != 0 ? 1 : 0;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double momentum = group.value(MOMENTUM);
        double weightDecay = group.value(WEIGHT_DECAY);
        Check.check(momentum == 0 || history[FILLED] != SPARSE, "SGD",
                "a dense gradient does not go with the momentum of sparse ones" + UNLIKE);
        next[FILLED] = momentum != 0 ? DENSE : history[FILLED];
        rows.set(row, SgdRow.WEIGHT_DECAY, weightDecay)
                .set(row, SgdRow.MOMENTUM, momentum)
                .set(row, SgdRow.UNDAMPENED, 1 - group.value(DAMPENING))
                .set(row, SgdRow.STEP_SIZE, -group.value(LR))
                .flags(row, Rows.flag(SgdRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(SgdRow.L2, weightDecay != 0)
                        | Rows.flag(SgdRow.FIRST, history[FILLED] == 0)
                        | Rows.flag(SgdRow.NESTEROV, group.value(NESTEROV) != 0)
                        | Rows.flag(SgdRow.CAUTIOUS, group.value(CAUTION) != 0 && momentum != 0));
    }

    @Override
    protected Sparse sparse(ParamGroup group, double[] history) {
        boolean momentum = group.value(MOMENTUM) != 0;
        boolean dense = momentum && history[FILLED] == DENSE;
        Check.check(group.value(WEIGHT_DECAY) == 0, "SGD", "weight_decay does not go with sparse gradients" + UNLIKE);
        Check.check(!dense || group.value(NESTEROV) == 0, "SGD",
                "with Nesterov a sparse gradient does not go with the momentum of dense ones" + UNLIKE);
        Check.check(!momentum || group.value(CAUTION) == 0, "SGD", "caution does not go with sparse gradients");
        return new Sparse(Rule.SPARSE_SGD, group.value(MAXIMIZE) != 0, momentum,
                !momentum ? Moving.NONE : dense ? Moving.ALL : Moving.REACHED);
    }

    @Override
    protected void sparseRow(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double momentum = group.value(MOMENTUM);
        next[FILLED] = momentum != 0 && history[FILLED] == 0 ? SPARSE : history[FILLED];
        rows.set(row, SparseSgdRow.MOMENTUM, momentum)
                .set(row, SparseSgdRow.UNDAMPENED, 1 - group.value(DAMPENING))
                .set(row, SparseSgdRow.STEP_SIZE, -group.value(LR))
                .flags(row, Rows.flag(SparseSgdRow.FIRST, history[FILLED] == 0)
                        | Rows.flag(SparseSgdRow.NESTEROV, group.value(NESTEROV) != 0));
    }

    @Override
    protected Map<String, Integer> filled() {
        return Map.of("momentum_buffer", FILLED);
    }

    @Override
    protected Map<String, Integer> numbers() {
        return Map.of();
    }
}
