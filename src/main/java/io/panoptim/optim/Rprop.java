package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.RpropRow;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Resilient backpropagation, as {@code torch.optim.Rprop}: step sizes grow where the gradient keeps its sign and shrink where
 * it changes. The learning rate is what they start at, and is not used again.
 *
 * <p>State: {@code step}, {@code prev} (the gradient before), {@code step_size}.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.Rprop.html">torch.optim.Rprop</a>
 * @see <a href="https://doi.org/10.1109/ICNN.1993.298623">Riedmiller and Braun, The RPROP algorithm</a>
 */
public final class Rprop extends FusedOptimizer<Rprop.Options> {
    /**
     * torch's {@code etas}.
     *
     * @param minus the factor where the gradient has changed its sign
     * @param plus the factor where it has kept it
     */
    public record Etas(double minus, double plus) {}

    /**
     * torch's {@code step_sizes}.
     *
     * @param min the smallest
     * @param max the largest
     */
    public record StepSizes(double min, double max) {}

    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param etas factors of the step sizes, the first below and the second above 1
     * @param stepSizes bounds of the step sizes
     * @param maximize ascend instead
     */
    public record Options(double lr, Etas etas, StepSizes stepSizes, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("Rprop", lr);
            Check.check(etas.minus() > 0 && etas.minus() < 1 && etas.plus() > 1, "Rprop",
                    "Invalid eta values: " + etas.minus() + ", " + etas.plus());
            Check.aNumber("Rprop", "step_sizes", stepSizes.min() + stepSizes.max());
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(1e-2, new Etas(0.5, 1.2), new StepSizes(1e-6, 50), false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, etas, stepSizes, maximize);
        }

        public Options withEtas(double minus, double plus) {
            return new Options(lr, new Etas(minus, plus), stepSizes, maximize);
        }

        public Options withStepSizes(double min, double max) {
            return new Options(lr, etas, new StepSizes(min, max), maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, etas, stepSizes, newMaximize);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Rprop", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int ETAS = SCHEMA.index("etas");
    private static final int STEP_SIZES = SCHEMA.index("step_sizes");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public Rprop(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Rprop", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Rprop(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.RPROP, parameters, options);
    }

    @Override
    protected double initialState(ParamGroup group, int slot) {
        return slot == 1 ? group.value(LR) : 0;
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        next[STEP] = next(history[STEP]);
        rows.set(row, RpropRow.ETA_MINUS, group.value(ETAS))
                .set(row, RpropRow.ETA_PLUS, group.value(ETAS + 1))
                .set(row, RpropRow.STEP_SIZE_MIN, group.value(STEP_SIZES))
                .set(row, RpropRow.STEP_SIZE_MAX, group.value(STEP_SIZES + 1))
                .flags(row, Rows.flag(RpropRow.MAXIMIZE, group.value(MAXIMIZE) != 0));
    }
}
