package io.panoptim.optim.matrix;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.linalg.NewtonSchulz;
import io.panoptim.linalg.NewtonSchulz.Quintic;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Momentum orthogonalized by Newton–Schulz, for the hidden layers' matrices, as {@code torch.optim.Muon}: all else (biases,
 * embeddings, heads) is for another optimizer, such as AdamW.
 *
 * <p>A step is one fused pass for the averages, the directions and their norms, the products, and one fused pass for the update,
 * whatever the number of matrices; matrices of one shape go through the products together, and where launches are what takes time,
 * on CUDA, small ones whose rows differ by up to 12 %, too: rows of zeros behind a matrix stay zeros. Parameters of more than two
 * dimensions are flattened after the first one, as in Keller Jordan's original; torch refuses them. A parameter in column-major order is worked on where it
 * lies.
 *
 * <p>Newton–Schulz computes in float32 (float64 for float64 parameters), torch in bfloat16: so an orthogonalized matrix differs from
 * torch's by about 1 % of its largest element, and is the nearer one to the polynomial's. {@link #products} makes it bfloat16, too, which
 * is faster where there are instructions for it. All else is torch's to the bit, but for the
 * norm, which is exact here. A zero gradient moves nothing; a NaN or an infinity in a gradient turns its matrix, and no other, into NaNs, as in
 * torch.
 *
 * <p>Besides the state there are two copies of the matrices in the type of the products, those rows of zeros, and scratch memory for
 * the shape that needs the most: {@link #workspaceBytes}.
 *
 * <p>State: {@code momentum_buffer}.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.Muon.html">torch.optim.Muon</a>
 * @see <a href="https://kellerjordan.github.io/posts/muon/">Jordan et al., Muon: An optimizer for hidden layers in neural networks</a>
 */
public final class Muon extends MuonFamily<Muon.Options> {
    /** How the learning rate depends on a matrix's shape, rows by columns. */
    public enum AdjustLr {
        /** {@link #ORIGINAL}. */
        NONE,
        /** {@code sqrt(max(1, rows / columns))}, Keller Jordan's. */
        ORIGINAL,
        /** {@code 0.2 sqrt(max(rows, columns))}, Moonshot's: updates as large as AdamW's, whose learning rate and decay will do. */
        MATCH_RMS_ADAMW
    }

    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate as it is before it is adjusted, at least 0
     * @param momentum decay rate of the average of the gradients, at least 0
     * @param nesterov step from the gradient towards the average, rather than to the average
     * @param nsCoefficients of each Newton–Schulz step
     * @param eps the least norm that a direction is divided by
     * @param nsSteps how many Newton–Schulz steps, less than 100
     * @param adjustLrFn how the learning rate depends on the shape
     */
    public record Options(double lr, double weightDecay, double momentum, boolean nesterov, Quintic nsCoefficients, double eps,
                          int nsSteps, AdjustLr adjustLrFn) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.check(lr >= 0, "Muon", "Learning rate should be >= 0 but is: " + lr);
            Check.check(momentum >= 0, "Muon", "momentum should be >= 0 but is: " + momentum);
            Check.check(weightDecay >= 0, "Muon", "weight decay should be >= 0 but is: " + weightDecay);
            Check.check(nsSteps < 100, "Muon", "Number of steps must be less than 100 for computational efficiency");
            Check.check(nsSteps >= 0, "Muon", "Invalid ns_steps value: " + nsSteps);
            Check.aNumber("Muon", "eps", eps);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(1e-3, 0.1, 0.95, true, Quintic.KELLER, 1e-7, 5, AdjustLr.NONE);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, weightDecay, momentum, nesterov, nsCoefficients, eps, nsSteps, adjustLrFn);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, newWeightDecay, momentum, nesterov, nsCoefficients, eps, nsSteps, adjustLrFn);
        }

        public Options withMomentum(double newMomentum) {
            return new Options(lr, weightDecay, newMomentum, nesterov, nsCoefficients, eps, nsSteps, adjustLrFn);
        }

        public Options withNesterov(boolean newNesterov) {
            return new Options(lr, weightDecay, momentum, newNesterov, nsCoefficients, eps, nsSteps, adjustLrFn);
        }

        public Options withNsCoefficients(Quintic newNsCoefficients) {
            return new Options(lr, weightDecay, momentum, nesterov, newNsCoefficients, eps, nsSteps, adjustLrFn);
        }

        public Options withEps(double newEps) {
            return new Options(lr, weightDecay, momentum, nesterov, nsCoefficients, newEps, nsSteps, adjustLrFn);
        }

        public Options withNsSteps(int newNsSteps) {
            return new Options(lr, weightDecay, momentum, nesterov, nsCoefficients, eps, newNsSteps, adjustLrFn);
        }

        public Options withAdjustLrFn(AdjustLr newAdjustLrFn) {
            return new Options(lr, weightDecay, momentum, nesterov, nsCoefficients, eps, nsSteps, newAdjustLrFn);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Muon", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MOMENTUM = SCHEMA.index("momentum");
    private static final int NESTEROV = SCHEMA.index("nesterov");
    private static final int NS_COEFFICIENTS = SCHEMA.index("ns_coefficients");
    private static final int EPS = SCHEMA.index("eps");
    private static final int NS_STEPS = SCHEMA.index("ns_steps");
    private static final int ADJUST_LR_FN = SCHEMA.index("adjust_lr_fn");

    private static final MuonStep.Variant VARIANT = new MuonStep.Variant() {
        @Override
        public double momentum(ParamGroup group) {
            return group.value(MOMENTUM);
        }

        @Override
        public boolean nesterov(ParamGroup group) {
            return group.value(NESTEROV) != 0;
        }

        @Override
        public double eps(ParamGroup group) {
            return group.value(EPS);
        }

        @Override
        public boolean addsEps() {
            return false;
        }

        @Override
        public List<Quintic> quintics(ParamGroup group) {
            return NewtonSchulz.repeated(new Quintic(group.value(NS_COEFFICIENTS), group.value(NS_COEFFICIENTS + 1),
                    group.value(NS_COEFFICIENTS + 2)), (int) group.value(NS_STEPS));
        }

        @Override
        public double decay(ParamGroup group, boolean missing) {
            return 1 - group.value(LR) * group.value(WEIGHT_DECAY);
        }

        /** torch's {@code _adjust_lr}. */
        @Override
        public double lr(ParamGroup group, double rows, double columns) {
            return group.value(LR) * (group.value(ADJUST_LR_FN) == AdjustLr.MATCH_RMS_ADAMW.ordinal()
                    ? 0.2 * Math.sqrt(Math.max(rows, columns)) : Math.sqrt(Math.max(1, rows / columns)));
        }
    };

    /** An optimizer of one group on the best engine for its device. */
    public Muon(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Muon", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Muon(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, VARIANT, parameters, options);
    }
}
