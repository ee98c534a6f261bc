package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.MadgradRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Map;

/**
 * MADGRAD, as timm's {@code timm.optim.MADGRAD}, itself the authors': dual averaging, each coordinate scaled by the cube root
 * of its sum of squared gradients. timm writes that root as a power with the floating-point number next to 1/3, which moves it
 * by up to 17 units in the last place in float32 and 125 in float64 for the smallest sums, and by less than 3 between 1e-4 and
 * 1e4; here it is the cube root, correctly rounded. timm refuses a learning rate of 0, to which its schedules can lead all the
 * same.
 *
 * <p>State: {@code step}, {@code grad_sum_sq}, {@code s} and, with momentum, {@code x0}, the parameter before its first step.
 * Momentum cannot be switched on later, when that is not known any more.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/madgrad.py">timm.optim.MADGRAD</a>
 * @see <a href="https://arxiv.org/abs/2101.11075">Defazio and Jelassi, Adaptivity without Compromise</a>
 */
public final class MADGRAD extends FusedOptimizer<MADGRAD.Options> {
    /**
     * The options, with timm's names and defaults.
     *
     * @param lr learning rate, at least 0; {@code eps} is added to it
     * @param momentum in [0, 1); 0 for none, and one state less
     * @param weightDecay at least 0: an L2 penalty, or else relative shrinking per step, times the learning rate
     * @param eps added to the cube root and to the learning rate, at least 0
     * @param decoupledDecay shrink the parameter, as AdamW does, instead of adding to the gradient
     * @param maximize ascend instead
     */
    public record Options(double lr, double momentum, double weightDecay, double eps, boolean decoupledDecay, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("MADGRAD", lr);
            Check.check(momentum >= 0 && momentum < 1, "MADGRAD", "Momentum " + momentum + " must be in the range [0,1)");
            Check.weightDecay("MADGRAD", weightDecay);
            Check.eps("MADGRAD", eps);
        }

        /** timm's defaults. */
        public static Options defaults() {
            return new Options(1e-2, 0.9, 0, 1e-6, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, momentum, weightDecay, eps, decoupledDecay, maximize);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, newMomentum, weightDecay, eps, decoupledDecay, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, momentum, newWeightDecay, eps, decoupledDecay, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, momentum, weightDecay, newEps, decoupledDecay, maximize);
        }

        public Options withDecoupledDecay(boolean newDecoupledDecay) {
            return new Options(lr, momentum, weightDecay, eps, newDecoupledDecay, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, momentum, weightDecay, eps, decoupledDecay, newMaximize);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("MADGRAD", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int MOMENTUM = SCHEMA.index("momentum");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int EPS = SCHEMA.index("eps");
    private static final int DECOUPLED_DECAY = SCHEMA.index("decoupled_decay");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** History, after the number of steps taken: whether {@code x0} is known. */
    private static final int STARTED = 1;

    /** An optimizer of one group on the best engine for its device. */
    public MADGRAD(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("MADGRAD", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public MADGRAD(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.MADGRAD, parameters, options);
    }

    @Override
    protected double[] initialHistory(ParamGroup group) {
        return new double[2];
    }

    @Override
    protected int slots(ParamGroup group) {
        return group.value(MOMENTUM) != 0 ? 3 : 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double momentum = group.value(MOMENTUM);
        if (momentum != 0 && history[STARTED] == 0 && history[STEP] > 0) {
            throw PanoptimException.invalid("MADGRAD.step", "momentum was 0 in a parameter's first step, so that its x0 is not "
                    + "known: leave it at 0, or begin with a new optimizer");
        }
        double step = next(history[STEP]);
        next[STEP] = step;
        next[STARTED] = momentum != 0 ? 1 : history[STARTED];
        double decay = group.value(WEIGHT_DECAY);
        boolean decoupled = group.value(DECOUPLED_DECAY) != 0;
        double weight = 1 - momentum;
        rows.set(row, MadgradRow.DECAY, decoupled && decay != 0 ? 1.0 - group.value(LR) * decay : 1)
                .set(row, MadgradRow.WEIGHT_DECAY, decay)
                .set(row, MadgradRow.ACCUMULATION, (group.value(LR) + group.value(EPS)) * Math.sqrt(step))
                .set(row, MadgradRow.EPS, group.value(EPS))
                .set(row, MadgradRow.MOMENTUM, 1 - weight)
                .set(row, MadgradRow.Z_WEIGHT, weight)
                .flags(row, Rows.flag(MadgradRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(MadgradRow.L2, !decoupled && decay != 0)
                        | Rows.flag(MadgradRow.FIRST, history[STARTED] == 0));
    }

    @Override
    protected Map<String, Integer> filled() {
        return Map.of("x0", STARTED);
    }
}
