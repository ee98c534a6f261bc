package io.panoptim.optim;

import io.panoptim.engine.AdagradRow;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.SparseAdagradRow;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Adagrad, as {@code torch.optim.Adagrad}: the learning rate of each element falls with the sum of its squared gradients.
 *
 * <p>Gradients may be sparse, without weight decay: then only their rows change, and repeated indices are added up first. As in
 * torch this rounds differently from the same gradient with zeros in the other rows.
 *
 * <p>State: {@code step}, {@code sum}; both exist, as in torch, from the moment a parameter is added.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html">torch.optim.Adagrad</a>
 * @see <a href="https://jmlr.org/papers/v12/duchi11a.html">Duchi et al., Adaptive Subgradient Methods</a>
 */
public final class Adagrad extends FusedOptimizer<Adagrad.Options> {
    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param lrDecay how the learning rate falls with the number of steps, at least 0
     * @param weightDecay L2 penalty, at least 0
     * @param initialAccumulatorValue what the sums start at, at least 0
     * @param eps added to the denominator, at least 0
     * @param maximize ascend instead
     */
    public record Options(double lr, double lrDecay, double weightDecay, double initialAccumulatorValue, double eps,
                          boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("Adagrad", lr);
            Check.atLeastZero("Adagrad", "lr_decay", lrDecay);
            Check.weightDecay("Adagrad", weightDecay);
            Check.atLeastZero("Adagrad", "initial_accumulator_value", initialAccumulatorValue);
            Check.eps("Adagrad", eps);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(1e-2, 0, 0, 0, 1e-10, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, lrDecay, weightDecay, initialAccumulatorValue, eps, maximize);
        }

        public Options withLrDecay(double newLrDecay) {
            return new Options(lr, newLrDecay, weightDecay, initialAccumulatorValue, eps, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, lrDecay, newWeightDecay, initialAccumulatorValue, eps, maximize);
        }

        public Options withInitialAccumulatorValue(double newInitialAccumulatorValue) {
            return new Options(lr, lrDecay, weightDecay, newInitialAccumulatorValue, eps, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, lrDecay, weightDecay, initialAccumulatorValue, newEps, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, lrDecay, weightDecay, initialAccumulatorValue, eps, newMaximize);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Adagrad", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int LR_DECAY = SCHEMA.index("lr_decay");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int INITIAL_ACCUMULATOR_VALUE = SCHEMA.index("initial_accumulator_value");
    private static final int EPS = SCHEMA.index("eps");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public Adagrad(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Adagrad", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Adagrad(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.ADAGRAD, parameters, options);
    }

    @Override
    protected boolean hasStateFromTheStart() {
        return true;
    }

    @Override
    protected double initialState(ParamGroup group, int slot) {
        return group.value(INITIAL_ACCUMULATOR_VALUE);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 1;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double weightDecay = group.value(WEIGHT_DECAY);
        rows.set(row, AdagradRow.WEIGHT_DECAY, weightDecay)
                .set(row, AdagradRow.EPS, group.value(EPS))
                .set(row, AdagradRow.STEP_SIZE, stepSize(group, history, next))
                .flags(row, Rows.flag(AdagradRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(AdagradRow.L2, weightDecay != 0));
    }

    @Override
    protected Sparse sparse(ParamGroup group, double[] history) {
        Check.check(group.value(WEIGHT_DECAY) == 0, "Adagrad", "weight_decay option is not compatible with sparse gradients");
        return new Sparse(Rule.SPARSE_ADAGRAD, group.value(MAXIMIZE) != 0, true, Moving.NONE);
    }

    @Override
    protected void sparseRow(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        rows.set(row, SparseAdagradRow.EPS, group.value(EPS))
                .set(row, SparseAdagradRow.STEP_SIZE, stepSize(group, history, next));
    }

    private static double stepSize(ParamGroup group, double[] history, double[] next) {
        double step = next(history[STEP]);
        next[STEP] = step;
        return -(group.value(LR) / (1 + (step - 1) * group.value(LR_DECAY)));
    }
}
