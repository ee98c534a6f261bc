package io.panoptim.optim.norm;

import io.panoptim.engine.DadaptSgdRow;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Map;

/**
 * D-Adaptation of SGD, as its authors' {@code dadaptation.DAdaptSGD} (version 3): SGD that finds its step size {@code d} by
 * itself, from the gradients' weighted sum, all tensors together. A parameter is an average, with {@code momentum}, of where it
 * began less that sum.
 *
 * <p>The unit of {@code d} is the norm of the first step's gradients, as there without their penalty. Where that is 0 the authors'
 * version fails, and this one changes nothing until it is not. Options other than the learning rate, the weight decay and the
 * momentum (the authors take the first group's) belong to the optimizer: groups must agree on them, which is checked. {@code d}
 * and its like are float64 numbers that all parameters share, and sums are taken in float64; the authors add up float32 sums of
 * each tensor.
 *
 * <p>A group whose learning rate is 0 is frozen: its values stand still, as its sum of gradients does. In the authors' version only
 * the sum does: the values go on towards where they began less the sum.
 *
 * <p>State: {@code s}, {@code x0} (the parameter before its first step), and the common numbers {@code d}, {@code
 * numerator_weighted} and {@code g0_norm}; the authors' {@code z} is {@code x0 - s}, and not kept. Two passes over memory.
 *
 * @see <a href="https://github.com/facebookresearch/dadaptation/blob/main/dadaptation/dadapt_sgd.py">dadaptation</a>
 * @see <a href="https://arxiv.org/abs/2301.07733">Defazio and Mishchenko, Learning-Rate-Free Learning by D-Adaptation</a>
 */
public final class DAdaptSGD extends LearningRateFree<DAdaptSGD.Options> {
    /**
     * The options, with the authors' names and defaults.
     *
     * @param lr factor of the estimated step size, usually 1; at least 0. All groups have the same, except that some may have 0,
     *     which freezes them
     * @param momentum of the average of the iterates, in [0, 1]; 0 for none
     * @param weightDecay L2 penalty, at least 0
     * @param d0 the first estimate, above 0
     * @param growthRate the estimate grows at most by this factor in a step
     * @param maximize ascend instead
     */
    public record Options(double lr, double momentum, double weightDecay, double d0, double growthRate, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("DAdaptSGD", lr);
            Check.check(momentum >= 0 && momentum <= 1, "DAdaptSGD", "Invalid momentum value: " + momentum);
            Check.weightDecay("DAdaptSGD", weightDecay);
            Check.check(d0 > 0, "DAdaptSGD", "Invalid d0 value: " + d0);
            Check.aNumber("DAdaptSGD", "growth_rate", growthRate);
        }

        /** The authors' defaults. */
        public static Options defaults() {
            return new Options(1, 0, 0, 1e-6, Double.POSITIVE_INFINITY, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, momentum, weightDecay, d0, growthRate, maximize);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, newMomentum, weightDecay, d0, growthRate, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, momentum, newWeightDecay, d0, growthRate, maximize);
        }

        public Options withD0(double newD0) {
            return new Options(lr, momentum, weightDecay, newD0, growthRate, maximize);
        }

        public Options withGrowthRate(double newGrowthRate) {
            return new Options(lr, momentum, weightDecay, d0, newGrowthRate, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, momentum, weightDecay, d0, growthRate, newMaximize);
        }
    }

    /** The options by the authors' names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("DAdaptSGD", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int MOMENTUM = SCHEMA.index("momentum");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int D0 = SCHEMA.index("d0");
    private static final int GROWTH_RATE = SCHEMA.index("growth_rate");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    private static final int X0_SLOT = Rule.DADAPT_SGD.states().indexOf("x0");

    /** An optimizer of one group on the best engine for its device. */
    public DAdaptSGD(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("DAdaptSGD", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public DAdaptSGD(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.DADAPT_SGD, parameters, options, "d0", "growth_rate");
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected boolean beginsAsValue(ParamGroup group, int slot) {
        return slot == X0_SLOT;
    }

    @Override
    protected double initialSharedState(ParamGroup group, String key) {
        return key.equals("d") ? group.value(D0) : 0;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double rate = 1 - group.value(MOMENTUM);
        double decay = group.value(WEIGHT_DECAY);
        rows.set(row, DadaptSgdRow.WEIGHT_DECAY, decay)
                .set(row, DadaptSgdRow.MOMENTUM, 1 - rate)
                .set(row, DadaptSgdRow.RATE, rate)
                .set(row, DadaptSgdRow.LR, lr())
                .set(row, DadaptSgdRow.GROWTH_RATE, group.value(GROWTH_RATE))
                .flags(row, Rows.flag(DadaptSgdRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(DadaptSgdRow.L2, decay != 0)
                        | Rows.flag(DadaptSgdRow.FROZEN, !(group.value(LR) > 0)));
    }

    @Override
    protected Map<String, Integer> numbers() {
        return Map.of();
    }
}
