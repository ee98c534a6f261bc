package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.SophiaHessianRow;
import io.panoptim.engine.SophiaRow;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/**
 * Sophia-G, as its authors' {@code SophiaG} in Liuhong99/Sophia since its second version: the average gradient over an
 * estimate of the Hessian's diagonal, each coordinate clipped to the learning rate. (The first version clipped elsewhere;
 * optax's {@code sophia} and kozistr's {@code SophiaH} estimate and clip differently.)
 *
 * <p>Every so many steps, 10 in the authors' training, the Hessian is estimated anew: draw labels from the model's own output,
 * compute the gradients of the loss for these as they would be for true ones, and call {@link #updateHessian()}; then compute
 * true ones again for the next step.
 *
 * <p>State: {@code step}, {@code exp_avg}, {@code hessian}.
 *
 * @see <a href="https://github.com/Liuhong99/Sophia/blob/main/sophia.py">Liuhong99/Sophia</a>
 * @see <a href="https://arxiv.org/abs/2305.14342">Liu et al., Sophia: A Scalable Stochastic Second-order Optimizer</a>
 */
public final class SophiaG extends FusedOptimizer<SophiaG.Options> {
    /**
     * The options, with the authors' names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the average gradient and of the Hessian, each in [0, 1)
     * @param rho what scales the Hessian: the smaller, the more coordinates are clipped; at least 0
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param bs what the source takes as an argument of its step: the number of samples in a batch (tokens, for a
     *     language model), more than 0
     * @param maximize ascend instead
     */
    public record Options(double lr, Betas betas, double rho, double weightDecay, double bs, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.lr("SophiaG", lr);
            Check.betas("SophiaG", betas);
            Check.atLeastZero("SophiaG", "rho", rho);
            Check.weightDecay("SophiaG", weightDecay);
            Check.check(bs > 0, "SophiaG", "Invalid bs value: " + bs);
        }

        /** The authors' defaults. */
        public static Options defaults() {
            return new Options(1e-4, new Betas(0.965, 0.99), 0.04, 0.1, 5120, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, rho, weightDecay, bs, maximize);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), rho, weightDecay, bs, maximize);
        }

        public Options withRho(double newRho) {
            return new Options(lr, betas, newRho, weightDecay, bs, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, rho, newWeightDecay, bs, maximize);
        }

        public Options withBs(double newBs) {
            return new Options(lr, betas, rho, weightDecay, newBs, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, betas, rho, weightDecay, bs, newMaximize);
        }
    }

    /** The options by the authors' names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("SophiaG", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int RHO = SCHEMA.index("rho");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int BS = SCHEMA.index("bs");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    private static final String HESSIAN = Rule.SOPHIA.states().get(1);

    /** An optimizer of one group on the best engine for its device. */
    public SophiaG(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("SophiaG", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public SophiaG(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.SOPHIA, parameters, options);
    }

    /** Steps with the source's {@code bs}, which all groups keep from then on. */
    public void step(double bs) {
        paramGroups().forEach(group -> group.set("bs", bs));
        step();
    }

    /**
     * Takes the parameters' gradients as samples of the Gauss-Newton-Bartlett estimator, whose squares enter the average
     * that is the Hessian. A parameter without a gradient keeps its Hessian; nothing else changes.
     */
    public void updateHessian() {
        change("updateHessian", () -> {
            List<Entry> sampled = new ArrayList<>();
            List<PairPass.Pair> pairs = new ArrayList<>();
            entries().forEach(this::checkSparse);
            for (Entry entry : entries()) {
                Tensor gradient = gradient(entry);
                if (gradient != null) {
                    allocate(entry);
                    sampled.add(entry);
                    pairs.add(new PairPass.Pair(entry.name, entry.group, entry.state(HESSIAN), gradient));
                }
            }
            pairs(Rule.SOPHIA_HESSIAN).run(pairs, (group, rows, row) -> {
                double beta2 = group.value(BETAS + 1);
                rows.set(row, SophiaHessianRow.HESSIAN_DECAY, beta2).set(row, SophiaHessianRow.HESSIAN_WEIGHT, 1 - beta2);
            });
            sampled.forEach(this::begin);
        });
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        next[STEP] = next(history[STEP]);
        double lr = group.value(LR);
        double beta1 = group.value(BETAS);
        rows.set(row, SophiaRow.DECAY, 1 - lr * group.value(WEIGHT_DECAY))
                .set(row, SophiaRow.EXP_AVG_DECAY, beta1)
                .set(row, SophiaRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, SophiaRow.SCALE, group.value(RHO) * group.value(BS))
                .set(row, SophiaRow.STEP_SIZE, -lr)
                .flags(row, Rows.flag(SophiaRow.MAXIMIZE, group.value(MAXIMIZE) != 0));
    }
}
