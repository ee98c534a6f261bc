package io.panoptim.optim;

import io.panoptim.engine.AdadeltaRow;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Adadelta, as {@code torch.optim.Adadelta}: steps in proportion to the steps so far.
 *
 * <p>State: {@code step}, {@code square_avg}, {@code acc_delta}.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html">torch.optim.Adadelta</a>
 * @see <a href="https://arxiv.org/abs/1212.5701">Zeiler, ADADELTA: An Adaptive Learning Rate Method</a>
 */
public final class Adadelta extends FusedOptimizer<Adadelta.Options> {
    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param rho decay rate of the averages, in [0, 1]
     * @param eps added under the roots, at least 0
     * @param weightDecay L2 penalty, at least 0
     * @param maximize ascend instead
     */
    public record Options(double lr, double rho, double eps, double weightDecay, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("Adadelta", lr);
            Check.check(rho >= 0 && rho <= 1, "Adadelta", "Invalid rho value: " + rho);
            Check.eps("Adadelta", eps);
            Check.weightDecay("Adadelta", weightDecay);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(1.0, 0.9, 1e-6, 0, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, rho, eps, weightDecay, maximize);
        }

        public Options withRho(double newRho) {
            return new Options(lr, newRho, eps, weightDecay, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, rho, newEps, weightDecay, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, rho, eps, newWeightDecay, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, rho, eps, weightDecay, newMaximize);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Adadelta", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int RHO = SCHEMA.index("rho");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public Adadelta(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Adadelta", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Adadelta(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.ADADELTA, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        next[STEP] = next(history[STEP]);
        double rho = group.value(RHO);
        double weightDecay = group.value(WEIGHT_DECAY);
        rows.set(row, AdadeltaRow.WEIGHT_DECAY, weightDecay)
                .set(row, AdadeltaRow.RHO, rho)
                .set(row, AdadeltaRow.RHO_WEIGHT, 1 - rho)
                .set(row, AdadeltaRow.EPS, group.value(EPS))
                .set(row, AdadeltaRow.STEP_SIZE, -group.value(LR))
                .flags(row, Rows.flag(AdadeltaRow.MAXIMIZE, group.value(MAXIMIZE) != 0)
                        | Rows.flag(AdadeltaRow.L2, weightDecay != 0));
    }
}
