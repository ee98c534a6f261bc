package io.panoptim.optim;

import io.panoptim.engine.AdoptRow;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.OptionalDouble;

/**
 * ADOPT, as its authors' {@code iShohei220/adopt} since it clips: Adam with each gradient normalized by the second moment of
 * those before it, clipped, and only then averaged. The first step fills the second moment and changes nothing else. The
 * authors' function of the number of steps, {@code clip_lambda}, is a power here, as in timm's {@code timm.optim.Adopt}, whose
 * arithmetic is the same; the default exponent is the authors' 0.25, by which their theory holds, not timm's 0.333. With timm's
 * {@code caution} the step is left out where it goes against the gradient (the L2 penalty included) and elsewhere divided by the
 * part of the tensor that is left (at least 0.001), which takes a pass of its own. timm's {@code corrected_weight_decay} is not
 * offered.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code exp_avg_sq}.
 *
 * @see <a href="https://github.com/iShohei220/adopt/blob/main/src/adopt/adopt.py">iShohei220/adopt</a>
 * @see <a href="https://arxiv.org/abs/2411.02853">Taniguchi et al., ADOPT: Modified Adam Can Converge with Any β2</a>
 * @see <a href="https://arxiv.org/abs/2411.16085">Liang et al., Cautious Optimizers: Improving Training with One Line of Code</a>
 */
public final class ADOPT extends FusedOptimizer<ADOPT.Options> {
    /**
     * The options, with the authors' names and defaults; {@code clip_exp} is timm's name.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param eps the least that a gradient is divided by, at least 0
     * @param clipExp a normalized gradient is at most the number of earlier steps to this power; none for no limit
     * @param weightDecay at least 0: an L2 penalty, or else relative shrinking per step, times the learning rate
     * @param decouple shrink the parameter, as AdamW does, instead of adding to the gradient
     * @param maximize ascend instead
     * @param caution leave out where the step goes against the gradient, and enlarge the rest
     */
    public record Options(double lr, Betas betas, double eps, OptionalDouble clipExp, double weightDecay, boolean decouple,
                          boolean maximize, boolean caution) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("ADOPT", lr);
            Check.eps("ADOPT", eps);
            Check.betas("ADOPT", betas);
            Check.weightDecay("ADOPT", weightDecay);
            Check.aNumber("ADOPT", "clip_exp", clipExp.orElse(0));
        }

        /** The authors' defaults. */
        public static Options defaults() {
            return new Options(1e-3, new Betas(0.9, 0.9999), 1e-6, OptionalDouble.of(0.25), 0, false, false, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, clipExp, weightDecay, decouple, maximize, caution);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, clipExp, weightDecay, decouple, maximize, caution);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, clipExp, weightDecay, decouple, maximize, caution);
        }

        public Options withClipExp(OptionalDouble newClipExp) {
            return new Options(lr, betas, eps, newClipExp, weightDecay, decouple, maximize, caution);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, eps, clipExp, newWeightDecay, decouple, maximize, caution);
        }

        public Options withDecouple(boolean newDecouple) {
            return new Options(lr, betas, eps, clipExp, weightDecay, newDecouple, maximize, caution);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, clipExp, weightDecay, decouple, newMaximize, caution);
        }

        public Options withCaution(boolean newCaution) {
            return new Options(lr, betas, eps, clipExp, weightDecay, decouple, maximize, newCaution);
        }
    }

    /** The options by the authors's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("ADOPT", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int CLIP_EXP = SCHEMA.index("clip_exp");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int DECOUPLE = SCHEMA.index("decouple");
    private static final int MAXIMIZE = SCHEMA.index("maximize");
    private static final int CAUTION = SCHEMA.index("caution");

    /** An optimizer of one group on the best engine for its device. */
    public ADOPT(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("ADOPT", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public ADOPT(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.ADOPT, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double earlier = history[STEP];
        next[STEP] = next(earlier);
        double lr = group.value(LR);
        double beta2 = group.value(BETAS + 1);
        double clipExp = group.value(CLIP_EXP);
        double decay = group.value(WEIGHT_DECAY);
        boolean decouple = group.value(DECOUPLE) != 0;
        rows.set(row, AdoptRow.WEIGHT_DECAY, decay)
                .set(row, AdoptRow.DECAY, -lr * decay)
                .set(row, AdoptRow.EXP_AVG_WEIGHT, 1 - group.value(BETAS))
                .set(row, AdoptRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, AdoptRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, AdoptRow.EPS, group.value(EPS))
                .set(row, AdoptRow.CLIP, Double.isNaN(clipExp) ? Double.POSITIVE_INFINITY : CMath.pow(earlier, clipExp))
                .set(row, AdoptRow.STEP_SIZE, -lr)
                .flags(row, Rows.flag(AdoptRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(AdoptRow.L2, !decouple && decay != 0)
                        | Rows.flag(AdoptRow.DECOUPLED, decouple && decay != 0)
                        | Rows.flag(AdoptRow.FIRST, earlier == 0)
                        | Rows.flag(AdoptRow.CAUTIOUS, group.value(CAUTION) != 0 && earlier > 0));
    }
}
