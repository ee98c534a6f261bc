package io.panoptim.optim.matrix;

import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.FactoredStep.Scalars;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/**
 * Adafactor as its paper and Hugging Face's Transformers have it: learning rates that follow from the number of the step
 * ({@code relative_step}, then {@code lr} is none) and the size of a parameter ({@code scale_parameter}), and an average of the
 * updates ({@code beta1}), if wanted. {@link Adafactor} is torch's.
 *
 * <p>Like that one it takes three passes, sums in float64 (Transformers' are in float32), and has the same bits on every engine.
 * Groups can change {@code lr}, but a group whose learning rate is none has none to be scheduled.
 *
 * <p>State: {@code step}, {@code exp_avg} (with {@code beta1}), {@code exp_avg_sq_row} and {@code exp_avg_sq_col}, or
 * {@code exp_avg_sq} for vectors, and {@code RMS}, the root mean square of the parameter before the last step, for which nothing waits
 * but who asks for it. {@code beta1} cannot be turned on or off after the first step.
 *
 * @see <a href="https://github.com/huggingface/transformers/blob/main/src/transformers/optimization.py">huggingface/transformers</a>
 * @see <a href="https://arxiv.org/abs/1804.04235">Shazeer and Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost</a>
 */
public final class AdafactorHF extends FactoredOptimizer<AdafactorHF.Options> {
    /**
     * The two epsilons.
     *
     * @param square added to the squares of gradients
     * @param scale the least root mean square of a parameter to scale the learning rate by
     */
    public record Eps(double square, double scale) {}

    /**
     * The options, with Transformers' names and defaults.
     *
     * @param lr learning rate; none where steps are relative, and else needed before the first step
     * @param eps see there
     * @param clipThreshold root mean square to which updates are clipped
     * @param decayRate the squares' weight is this power of the number of the step
     * @param beta1 decay rate of the average of the updates; none: there is no average
     * @param weightDecay relative shrinking per step, times the learning rate
     * @param scaleParameter multiply the learning rate by the parameter's root mean square
     * @param relativeStep the learning rate is the smaller of 0.01 and one over the root of the number of the step
     * @param warmupInit 10^-6 times that number in place of 0.01
     */
    public record Options(OptionalDouble lr, Eps eps, double clipThreshold, double decayRate, OptionalDouble beta1, double weightDecay,
                          boolean scaleParameter, boolean relativeStep, boolean warmupInit) {
        /** Refuses what does not go together, in Transformers' words. */
        public Options {
            Check.check(lr.isEmpty() || !relativeStep, "AdafactorHF", "Cannot combine manual `lr` and `relative_step=True` options");
            Check.check(!warmupInit || relativeStep, "AdafactorHF", "`warmup_init=True` requires `relative_step=True`");
            Check.check(lr.isEmpty() || lr.getAsDouble() >= 0, "AdafactorHF", "Invalid learning rate: " + lr.orElse(0));
            Check.eps("AdafactorHF", eps.square);
            Check.eps("AdafactorHF", eps.scale);
            Check.check(clipThreshold > 0, "AdafactorHF", "Invalid clip_threshold value: " + clipThreshold);
            Check.check(decayRate <= 0, "AdafactorHF", "Invalid decay_rate value: " + decayRate);
            Check.check(beta1.isEmpty() || beta1.getAsDouble() >= 0 && beta1.getAsDouble() < 1, "AdafactorHF",
                    "Invalid beta1 value: " + beta1.orElse(0));
            Check.weightDecay("AdafactorHF", weightDecay);
        }

        /** Transformers' defaults. */
        public static Options defaults() {
            return new Options(OptionalDouble.empty(), new Eps(1e-30, 1e-3), 1, -0.8, OptionalDouble.empty(), 0, true, true, false);
        }

        /** A learning rate of one's own: steps are then not relative, nor warmed up. */
        public Options withLr(double newLr) {
            return new Options(OptionalDouble.of(newLr), eps, clipThreshold, decayRate, beta1, weightDecay, scaleParameter, false, false);
        }

        public Options withEps(Eps newEps) {
            return new Options(lr, newEps, clipThreshold, decayRate, beta1, weightDecay, scaleParameter, relativeStep, warmupInit);
        }

        public Options withClipThreshold(double newClipThreshold) {
            return new Options(lr, eps, newClipThreshold, decayRate, beta1, weightDecay, scaleParameter, relativeStep, warmupInit);
        }

        public Options withDecayRate(double newDecayRate) {
            return new Options(lr, eps, clipThreshold, newDecayRate, beta1, weightDecay, scaleParameter, relativeStep, warmupInit);
        }

        public Options withBeta1(double newBeta1) {
            return new Options(lr, eps, clipThreshold, decayRate, OptionalDouble.of(newBeta1), weightDecay, scaleParameter,
                    relativeStep, warmupInit);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, eps, clipThreshold, decayRate, beta1, newWeightDecay, scaleParameter, relativeStep, warmupInit);
        }

        public Options withScaleParameter(boolean newScaleParameter) {
            return new Options(lr, eps, clipThreshold, decayRate, beta1, weightDecay, newScaleParameter, relativeStep, warmupInit);
        }

        public Options withWarmupInit(boolean newWarmupInit) {
            return new Options(lr, eps, clipThreshold, decayRate, beta1, weightDecay, scaleParameter, relativeStep, newWarmupInit);
        }
    }

    /** The options by Transformers' names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("AdafactorHF", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int EPS = SCHEMA.index("eps");
    private static final int CLIP_THRESHOLD = SCHEMA.index("clip_threshold");
    private static final int DECAY_RATE = SCHEMA.index("decay_rate");
    private static final int BETA1 = SCHEMA.index("beta1");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int SCALE_PARAMETER = SCHEMA.index("scale_parameter");
    private static final int RELATIVE_STEP = SCHEMA.index("relative_step");
    private static final int WARMUP_INIT = SCHEMA.index("warmup_init");

    private static final Keys KEYS = new Keys("exp_avg_sq_row", "exp_avg_sq_col", "exp_avg_sq", "exp_avg");
    private static final String RMS = "RMS";

    /** An optimizer of one group on the best engine for its device. */
    public AdafactorHF(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("AdafactorHF", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public AdafactorHF(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
    }

    @Override
    Keys keys() {
        return KEYS;
    }

    @Override
    long[] averageShape(long[] shape, int over) {
        return IntStream.range(0, shape.length).filter(i -> i != over).mapToLong(i -> shape[i]).toArray();
    }

    @Override
    boolean averages(ParamGroup group) {
        return !Double.isNaN(group.value(BETA1));
    }

    @Override
    protected List<String> numberKeys() {
        return List.of(RMS);
    }

    @Override
    protected void checkStep(Target target) {
        ParamGroup group = target.group();
        Check.check(averages(group) == (target.stateOrNull(KEYS.average()) != null), "AdafactorHF.step", "beta1 cannot be turned on or off after "
                + "the first step, and '" + target.name() + "' has " + (averages(group) ? "no" : "an") + " average of its updates");
        Check.check(group.value(RELATIVE_STEP) != 0 || !Double.isNaN(group.lr()), "AdafactorHF.step", "`relative_step=False` requires an `lr`");
    }

    @Override
    Scalars scalars(ParamGroup group, long step, DType dtype) {
        double lr = group.value(LR);
        if (group.value(RELATIVE_STEP) != 0) {
            lr = Math.min(group.value(WARMUP_INIT) != 0 ? 1e-6 * step : 1e-2, 1 / Math.sqrt(step));
        }
        double beta2 = 1 - CMath.pow(step, group.value(DECAY_RATE));
        return new Scalars(lr, 1 - beta2, group.value(EPS), 0, Double.POSITIVE_INFINITY, group.value(CLIP_THRESHOLD),
                group.value(SCALE_PARAMETER) != 0, group.value(EPS + 1), 0, group.value(WEIGHT_DECAY),
                averages(group) ? group.value(BETA1) : 0);
    }

    @Override
    String rmsKey() {
        return RMS;
    }
}
