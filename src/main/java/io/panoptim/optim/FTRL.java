package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.FtrlPowerRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Map;

/**
 * Follow the regularized leader, as Keras's {@code keras.optimizers.Ftrl} on PyTorch, itself TensorFlow's: for sparse linear
 * models, whose weights an L1 penalty holds at exactly 0. With a {@code learning_rate_power} of -0.5 its arithmetic is
 * Keras's, the square root correctly rounded; other powers are within 1 unit in the last place, and the same on every engine.
 *
 * <p>The first step replaces a parameter's first value, of which only the part by which the power of the sum has grown
 * remains: begin with zeros, as is usual. The update divides by the learning rate, so that a step refuses one of 0.
 *
 * <p>With an {@code initial_accumulator_value} of 0, and neither {@code beta} nor an L2 penalty, a parameter becomes NaN where all
 * its gradients have been 0: Keras's formula is 0 / 0 there.
 *
 * <p>State: {@code accumulator}, {@code linear}.
 *
 * @see <a href="https://keras.io/api/optimizers/ftrl/">keras.optimizers.Ftrl</a>
 * @see <a href="https://research.google.com/pubs/archive/41159.pdf">McMahan et al., Ad Click Prediction: a View from the
 *     Trenches</a>
 */
public final class FTRL extends FusedOptimizer<FTRL.Options> {
    /**
     * The options, with Keras's names, except for lr, and defaults.
     *
     * @param lr learning rate, Keras's {@code learning_rate}; more than 0 when a step is taken
     * @param learningRatePower at most 0: how the learning rate falls with the sum of squared gradients; 0 for not at all
     * @param initialAccumulatorValue what that sum starts from, at least 0
     * @param l1RegularizationStrength at least 0
     * @param l2RegularizationStrength at least 0
     * @param l2ShrinkageRegularizationStrength an L2 penalty that enters through the gradient, but not its square, at
     *     least 0
     * @param beta the paper's, added to the root of the sum
     * @param maximize ascend instead
     */
    public record Options(double lr, double learningRatePower, double initialAccumulatorValue, double l1RegularizationStrength,
                          double l2RegularizationStrength, double l2ShrinkageRegularizationStrength, double beta,
                          boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("FTRL", lr);
            Check.check(learningRatePower <= 0, "FTRL",
                    "`learning_rate_power` needs to be negative or zero. Received: learning_rate_power=" + learningRatePower);
            positive("initial_accumulator_value", initialAccumulatorValue);
            positive("l1_regularization_strength", l1RegularizationStrength);
            positive("l2_regularization_strength", l2RegularizationStrength);
            positive("l2_shrinkage_regularization_strength", l2ShrinkageRegularizationStrength);
            Check.aNumber("FTRL", "beta", beta);
        }

        private static void positive(String name, double value) {
            Check.check(value >= 0, "FTRL", "`" + name + "` needs to be positive or zero. Received: " + name + "=" + value);
        }

        /** Keras's defaults. */
        public static Options defaults() {
            return new Options(1e-3, -0.5, 0.1, 0, 0, 0, 0, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, learningRatePower, initialAccumulatorValue, l1RegularizationStrength,
                    l2RegularizationStrength, l2ShrinkageRegularizationStrength, beta, maximize);
        }

        public Options withLearningRatePower(double newLearningRatePower) {
            return new Options(lr, newLearningRatePower, initialAccumulatorValue, l1RegularizationStrength,
                    l2RegularizationStrength, l2ShrinkageRegularizationStrength, beta, maximize);
        }

        public Options withInitialAccumulatorValue(double newInitialAccumulatorValue) {
            return new Options(lr, learningRatePower, newInitialAccumulatorValue, l1RegularizationStrength,
                    l2RegularizationStrength, l2ShrinkageRegularizationStrength, beta, maximize);
        }

        public Options withL1RegularizationStrength(double newL1RegularizationStrength) {
            return new Options(lr, learningRatePower, initialAccumulatorValue, newL1RegularizationStrength,
                    l2RegularizationStrength, l2ShrinkageRegularizationStrength, beta, maximize);
        }

        public Options withL2RegularizationStrength(double newL2RegularizationStrength) {
            return new Options(lr, learningRatePower, initialAccumulatorValue, l1RegularizationStrength,
                    newL2RegularizationStrength, l2ShrinkageRegularizationStrength, beta, maximize);
        }

        public Options withL2ShrinkageRegularizationStrength(double newL2ShrinkageRegularizationStrength) {
            return new Options(lr, learningRatePower, initialAccumulatorValue, l1RegularizationStrength,
                    l2RegularizationStrength, newL2ShrinkageRegularizationStrength, beta, maximize);
        }

        public Options withBeta(double newBeta) {
            return new Options(lr, learningRatePower, initialAccumulatorValue, l1RegularizationStrength,
                    l2RegularizationStrength, l2ShrinkageRegularizationStrength, newBeta, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, learningRatePower, initialAccumulatorValue, l1RegularizationStrength,
                    l2RegularizationStrength, l2ShrinkageRegularizationStrength, beta, newMaximize);
        }
    }

    /** The options by Keras's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("FTRL", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int LEARNING_RATE_POWER = SCHEMA.index("learning_rate_power");
    private static final int INITIAL_ACCUMULATOR_VALUE = SCHEMA.index("initial_accumulator_value");
    private static final int L1_REGULARIZATION_STRENGTH = SCHEMA.index("l1_regularization_strength");
    private static final int L2_REGULARIZATION_STRENGTH = SCHEMA.index("l2_regularization_strength");
    private static final int L2_SHRINKAGE_REGULARIZATION_STRENGTH = SCHEMA.index("l2_shrinkage_regularization_strength");
    private static final int BETA = SCHEMA.index("beta");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    private static final double SQUARE_ROOT = -0.5;

    /** An optimizer of one group on the best engine for its device. */
    public FTRL(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("FTRL", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public FTRL(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.FTRL, parameters, options);
    }

    /** The one with a square root as long as that is all it needs: a general power takes several times as long. */
    @Override
    public Rule rule() {
        for (int i = 0; i < paramGroups().size(); i++) {
            if (!takesRoot(paramGroups().get(i))) {
                return Rule.FTRL_POWER;
            }
        }
        return Rule.FTRL;
    }

    private static boolean takesRoot(ParamGroup group) {
        return group.value(LEARNING_RATE_POWER) == SQUARE_ROOT;
    }

    @Override
    protected double initialState(ParamGroup group, int slot) {
        return slot == 0 ? group.value(INITIAL_ACCUMULATOR_VALUE) : 0;
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    /** Both rules' rows begin alike. */
    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double lr = group.value(LR);
        if (!(lr > 0)) {
            throw PanoptimException.invalid("FTRL.step", "a learning rate of " + lr + ", which the update divides by: leave out "
                    + "the step, or take the gradients away");
        }
        rows.set(row, FtrlPowerRow.LR, lr)
                .set(row, FtrlPowerRow.L1, group.value(L1_REGULARIZATION_STRENGTH))
                .set(row, FtrlPowerRow.L2, group.value(L2_REGULARIZATION_STRENGTH))
                .set(row, FtrlPowerRow.SHRINKAGE, 2 * group.value(L2_SHRINKAGE_REGULARIZATION_STRENGTH))
                .set(row, FtrlPowerRow.BETA, group.value(BETA))
                .set(row, FtrlPowerRow.POWER, -group.value(LEARNING_RATE_POWER))
                .flags(row, Rows.flag(FtrlPowerRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(FtrlPowerRow.ROOT, takesRoot(group)));
    }

    @Override
    protected Map<String, Integer> numbers() {
        return Map.of();
    }
}
