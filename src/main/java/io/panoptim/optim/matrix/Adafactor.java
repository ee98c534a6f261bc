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

/**
 * Adafactor as {@code torch.optim.Adafactor}: second moments of a matrix are kept as averages over its rows and columns, of more than two
 * dimensions over the last two, and updates are clipped by their root mean square. The paper's, which Transformers has, is
 * {@link AdafactorHF}: it adds its first epsilon to the squares, and has relative steps and an average of updates besides.
 *
 * <p>Three passes over the gradients. Sums are in float64, torch's in the parameter's type: results are as near to torch's as its
 * rounding allows, and the same bits on every engine. A zero gradient moves nothing, whatever the options; a NaN or an infinity in a
 * gradient turns its matrix into NaNs, as in torch. Tensors of two dimensions or more must be in row-major order.
 *
 * <p>The first epsilon, if none is given, is that of each parameter's type; torch takes the first parameter's for its whole group.
 *
 * <p>State: {@code step}, {@code row_var} and {@code col_var}, or {@code variance} for vectors.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.Adafactor.html">torch.optim.Adafactor</a>
 * @see <a href="https://arxiv.org/abs/1804.04235">Shazeer and Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost</a>
 */
public final class Adafactor extends FactoredOptimizer<Adafactor.Options> {
    /**
     * The two epsilons.
     *
     * @param first the least root of a second moment, and the least average of the averages over rows; the resolution of the parameter's
     *     type if there is none
     * @param second the least root mean square of a parameter to scale the learning rate by
     */
    public record Eps(OptionalDouble first, double second) {}

    /**
     * The options, with torch's names and defaults.
     *
     * @param lr largest learning rate, at least 0
     * @param beta2Decay the averages' weight is this power of the number of the step, at most 0
     * @param eps see there; at least 0
     * @param d root mean square to which updates are clipped, at least 1
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param maximize ascend instead
     */
    public record Options(double lr, double beta2Decay, Eps eps, double d, double weightDecay, boolean maximize) {
        /** Refuses what is out of range, in torch's words. */
        public Options {
            Check.check(lr >= 0, "Adafactor", "Learning rate should be >= 0 but is: " + lr);
            Check.check(beta2Decay <= 0, "Adafactor", "beta2_decay should be <= 0 but is: " + beta2Decay);
            Check.check(eps.first.isEmpty() || eps.first.getAsDouble() >= 0, "Adafactor", "epsilon1 should be >= 0 but is: "
                    + eps.first.orElse(0));
            Check.check(eps.second >= 0, "Adafactor", "epsilon2 should be >= 0 but is: " + eps.second);
            Check.check(d >= 1, "Adafactor", "Clipping threshold d should be >= 1 but is: " + d);
            Check.check(weightDecay >= 0, "Adafactor", "weight_decay should be >= 0 but is: " + weightDecay);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(1e-2, -0.8, new Eps(OptionalDouble.empty(), 1e-3), 1, 0, false);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, beta2Decay, eps, d, weightDecay, maximize);
        }

        public Options withBeta2Decay(double newBeta2Decay) {
            return new Options(lr, newBeta2Decay, eps, d, weightDecay, maximize);
        }

        public Options withEps(Eps newEps) {
            return new Options(lr, beta2Decay, newEps, d, weightDecay, maximize);
        }

        public Options withD(double newD) {
            return new Options(lr, beta2Decay, eps, newD, weightDecay, maximize);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, beta2Decay, eps, d, newWeightDecay, maximize);
        }

        public Options withMaximize(boolean newMaximize) {
            return new Options(lr, beta2Decay, eps, d, weightDecay, newMaximize);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Adafactor", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETA2_DECAY = SCHEMA.index("beta2_decay");
    private static final int EPS = SCHEMA.index("eps");
    private static final int D = SCHEMA.index("d");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MAXIMIZE = SCHEMA.index("maximize");

    private static final Keys KEYS = new Keys("row_var", "col_var", "variance", "");

    /** An optimizer of one group on the best engine for its device. */
    public Adafactor(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Adafactor", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Adafactor(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
    }

    @Override
    Keys keys() {
        return KEYS;
    }

    @Override
    long[] averageShape(long[] shape, int over) {
        long[] averaged = shape.clone();
        averaged[over] = 1;
        return averaged;
    }

    @Override
    boolean averages(ParamGroup group) {
        return false;
    }

    @Override
    Scalars scalars(ParamGroup group, long step, DType dtype) {
        double lr = group.value(LR);
        double eps1 = Double.isNaN(group.value(EPS)) ? resolution(dtype) : group.value(EPS);
        double size = Math.min(lr, 1 / CMath.pow(step, 0.5));
        return new Scalars(group.value(MAXIMIZE) != 0 ? -size : size, CMath.pow(step, group.value(BETA2_DECAY)), 0, eps1, 1 / eps1,
                group.value(D), true, group.value(EPS + 1), lr * group.value(WEIGHT_DECAY), 0, 0);
    }

    /** The distance from 1 to the next larger number, {@code torch.finfo(dtype).eps}. */
    private static double resolution(DType dtype) {
        return switch (dtype) {
            case FLOAT64 -> 0x1p-52;
            case BFLOAT16 -> 0x1p-7;
            case FLOAT16 -> 0x1p-10;
            default -> 0x1p-23;
        };
    }
}
