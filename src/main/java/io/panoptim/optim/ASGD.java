package io.panoptim.optim;

import io.panoptim.engine.AsgdRow;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Map;

/**
 * Averaged stochastic gradient descent, as {@code torch.optim.ASGD}.
 *
 * <p>State: {@code step}, {@code eta} and {@code mu} (float32 numbers also for float64 parameters), {@code ax} (the average).
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.ASGD.html">torch.optim.ASGD</a>
 * @see <a href="https://dl.acm.org/citation.cfm?id=131098">Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging</a>
 */
public final class ASGD extends FusedOptimizer<ASGD.Options> {
    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param lambd decay of the parameter
     * @param alpha power by which the step size falls
     * @param t0 the step after which averaging starts
     * @param weightDecay L2 penalty, at least 0
     * @param maximize ascend instead
     */
    public record Options(double lr, double lambd, double alpha, double t0, double weightDecay, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("ASGD", lr);
            Check.weightDecay("ASGD", weightDecay);
            Check.aNumber("ASGD", "lambd", lambd);
            Check.aNumber("ASGD", "alpha", alpha);
            Check.aNumber("ASGD", "t0", t0);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(1e-2, 1e-4, 0.75, 1e6, 0, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, lambd, alpha, t0, weightDecay, maximize);
        }

        public Options withLambd(double newLambd) {
            return new Options(lr, newLambd, alpha, t0, weightDecay, maximize);
        }

        public Options withAlpha(double newAlpha) {
            return new Options(lr, lambd, newAlpha, t0, weightDecay, maximize);
        }

        public Options withT0(double newT0) {
            return new Options(lr, lambd, alpha, newT0, weightDecay, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, lambd, alpha, t0, newWeightDecay, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, lambd, alpha, t0, weightDecay, newMaximize);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("ASGD", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int LAMBD = SCHEMA.index("lambd");
    private static final int ALPHA = SCHEMA.index("alpha");
    private static final int T0 = SCHEMA.index("t0");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** History, after the number of steps taken: the step size and weight of the average for the next. */
    private static final int ETA = 1;
    private static final int MU = 2;

    /** An optimizer of one group on the best engine for its device. */
    public ASGD(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("ASGD", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public ASGD(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.ASGD, parameters, options);
    }

    @Override
    protected double[] initialHistory(ParamGroup group) {
        return new double[] {0, (float) group.value(LR), 1};
    }

    @Override
    protected int slots(ParamGroup group) {
        return 1;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double step = next(history[STEP]);
        double lr = group.value(LR);
        double lambd = group.value(LAMBD);
        next[STEP] = step;
        next[ETA] = (float) (lr / CMath.pow(1 + lambd * lr * step, group.value(ALPHA)));
        next[MU] = (float) (1 / Math.max(1, step - group.value(T0)));
        double weightDecay = group.value(WEIGHT_DECAY);
        rows.set(row, AsgdRow.WEIGHT_DECAY, weightDecay)
                .set(row, AsgdRow.DECAY, 1 - lambd * history[ETA])
                .set(row, AsgdRow.STEP_SIZE, -history[ETA])
                .set(row, AsgdRow.AVERAGE_WEIGHT, history[MU])
                .flags(row, Rows.flag(AsgdRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(AsgdRow.L2, weightDecay != 0)
                        | Rows.flag(AsgdRow.AVERAGING, history[MU] != 1));
    }

    @Override
    protected Map<String, Integer> numbers() {
        return Map.of("step", STEP, "eta", ETA, "mu", MU);
    }
}
