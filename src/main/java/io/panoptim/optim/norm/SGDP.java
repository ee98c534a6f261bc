package io.panoptim.optim.norm;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.SgdpRow;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Map;

/**
 * SGDP, as timm's {@code timm.optim.SGDP}, itself its authors': SGD with momentum that does not let the norm of scale-invariant
 * weights grow, by the projection of {@link AdamP}. Other than in {@link io.panoptim.optim.SGD} the momentum begins with zeros, so
 * that the first gradient is dampened too, and weight decay shrinks the parameter, by {@code lr * weight_decay / (1 - momentum)}.
 *
 * <p>The sums are taken in float64 here, so the result can differ from timm's in the last digits, and where a cosine is that near
 * to the limit, in the choice. timm's {@code caution}, which projects a second time, is not offered. Two passes over memory,
 * and one for tensors of fewer than two dimensions.
 *
 * <p>State: {@code momentum}.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/sgdp.py">timm.optim.SGDP</a>
 * @see <a href="https://arxiv.org/abs/2006.08217">Heo et al., AdamP: Slowing Down the Slowdown for Momentum Optimizers on
 *     Scale-invariant Weights</a>
 */
public final class SGDP extends ByDimensions<SGDP.Options> {
    /**
     * The options, with timm's names and, but for the learning rate, which it asks for, defaults.
     *
     * @param lr learning rate, at least 0
     * @param momentum at least 0, and other than 1 with weight decay
     * @param dampening of the gradient that enters the momentum
     * @param weightDecay relative shrinking per step, times the learning rate over 1 - momentum, at least 0
     * @param nesterov look ahead by the momentum
     * @param eps the least that norms count as, at least 0
     * @param delta limit of the cosine, times the root of the number of elements
     * @param wdRatio what of the weight decay is left where the step is projected
     * @param maximize ascend instead
     */
    public record Options(double lr, double momentum, double dampening, double weightDecay, boolean nesterov, double eps,
                          double delta, double wdRatio, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("SGDP", lr);
            Check.momentum("SGDP", momentum);
            Check.aNumber("SGDP", "dampening", dampening);
            Check.weightDecay("SGDP", weightDecay);
            Check.check(weightDecay == 0 || momentum != 1, "SGDP", "Invalid momentum value: 1.0: weight_decay is divided by 1 - "
                    + "momentum");
            Check.eps("SGDP", eps);
            Check.aNumber("SGDP", "delta", delta);
            Check.aNumber("SGDP", "wd_ratio", wdRatio);
        }

        /** timm's defaults, and torch's learning rate for SGD, 0.001. */
        public static Options defaults() {
            return new Options(1e-3, 0, 0, 0, false, 1e-8, 0.1, 0.1, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, momentum, dampening, weightDecay, nesterov, eps, delta, wdRatio, maximize);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, newMomentum, dampening, weightDecay, nesterov, eps, delta, wdRatio, maximize);
        }

        public Options withDampening(double newDampening) {
            return new Options(lr, momentum, newDampening, weightDecay, nesterov, eps, delta, wdRatio, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, momentum, dampening, newWeightDecay, nesterov, eps, delta, wdRatio, maximize);
        }

        public Options withNesterov(boolean newNesterov) {
            return new Options(lr, momentum, dampening, weightDecay, newNesterov, eps, delta, wdRatio, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, newEps, delta, wdRatio, maximize);
        }

        public Options withDelta(double newDelta) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, eps, newDelta, wdRatio, maximize);
        }

        public Options withWdRatio(double newWdRatio) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, eps, delta, newWdRatio, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, momentum, dampening, weightDecay, nesterov, eps, delta, wdRatio, newMaximize);
        }
    }

    /** The options by timm's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("SGDP", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int MOMENTUM = SCHEMA.index("momentum");
    private static final int DAMPENING = SCHEMA.index("dampening");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int NESTEROV = SCHEMA.index("nesterov");
    private static final int EPS = SCHEMA.index("eps");
    private static final int DELTA = SCHEMA.index("delta");
    private static final int WD_RATIO = SCHEMA.index("wd_ratio");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public SGDP(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("SGDP", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public SGDP(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.SGDP, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 1;
    }

    @Override
    void row(ParamGroup group, double[] history, double[] next, int dimensions, Rows rows, int row) {
        double lr = group.value(LR);
        double momentum = group.value(MOMENTUM);
        double decay = group.value(WEIGHT_DECAY);
        rows.set(row, SgdpRow.DECAY, decay != 0 ? 1 - lr * decay / (1 - momentum) : 1)
                .set(row, SgdpRow.PROJECTED_DECAY, decay != 0 ? 1 - lr * decay * group.value(WD_RATIO) / (1 - momentum) : 1)
                .set(row, SgdpRow.MOMENTUM, momentum)
                .set(row, SgdpRow.UNDAMPENED, 1 - group.value(DAMPENING))
                .set(row, SgdpRow.EPS, group.value(EPS))
                .set(row, SgdpRow.DELTA, group.value(DELTA))
                .set(row, SgdpRow.STEP_SIZE, -lr)
                .flags(row, Rows.flag(SgdpRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(SgdpRow.NESTEROV, group.value(NESTEROV) != 0)
                        | Rows.flag(SgdpRow.PROJECTS, dimensions > 1));
    }

    @Override
    protected Map<String, Integer> numbers() {
        return Map.of();
    }
}
