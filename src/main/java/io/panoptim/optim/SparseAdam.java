package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.SparseAdamRow;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Adam for sparse gradients, as {@code torch.optim.SparseAdam}: value and state change in the rows that have a gradient, and
 * nowhere else. Repeated indices are added up first.
 *
 * <p>It is not Adam with zeros in the other rows: their averages do not decay, and {@code eps} is added to the root before
 * its bias is corrected. There is no weight decay.
 *
 * <p>State: {@code step} (an integer, as in torch), {@code exp_avg}, {@code exp_avg_sq}. An empty gradient is a step too.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.SparseAdam.html">torch.optim.SparseAdam</a>
 */
public final class SparseAdam extends FusedOptimizer<SparseAdam.Options> {
    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, more than 0
     * @param betas decay rates of the averages of the gradient and of its square, each in [0, 1)
     * @param eps added to the denominator, more than 0
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double eps, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.check(lr > 0, "SparseAdam", "Invalid learning rate: " + lr);
            Check.check(eps > 0, "SparseAdam", "Invalid epsilon value: " + eps);
            Check.betas("SparseAdam", betas);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(1e-3, new Betas(0.9, 0.999), 1e-8, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, eps, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), eps, maximize);
        }

        public Options withEps(double newEps) {
            return new Options(lr, betas, newEps, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, eps, newMaximize);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("SparseAdam", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    /** An optimizer of one group on the best engine for its device. */
    public SparseAdam(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("SparseAdam", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public SparseAdam(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.SPARSE_ADAM, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected Sparse sparse(ParamGroup group, double[] history) {
        return new Sparse(Rule.SPARSE_ADAM, group.value(MAXIMIZE) != 0, true, Moving.NONE);
    }

    @Override
    protected void sparseRow(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double step = history[STEP] + 1;
        next[STEP] = step;
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        double correction1 = 1 - CMath.pow(beta1, step);
        double correction2 = 1 - CMath.pow(beta2, step);
        rows.set(row, SparseAdamRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, SparseAdamRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, SparseAdamRow.EPS, group.value(EPS))
                .set(row, SparseAdamRow.STEP_SIZE, -(group.value(LR) * Math.sqrt(correction2) / correction1));
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        throw PanoptimException.unsupported("SparseAdam", "SparseAdam does not support dense gradients, please consider Adam instead");
    }

    @Override
    protected DType numberType(String key) {
        return DType.INT64;
    }
}
