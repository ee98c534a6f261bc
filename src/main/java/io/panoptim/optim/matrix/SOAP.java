package io.panoptim.optim.matrix;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.optim.Betas;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.TensorOptimizer;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * SOAP, as its authors' {@code nikhilvyas/SOAP}: Adam in the eigenbasis of Shampoo's preconditioner. Each dimension of a tensor has an
 * average of the outer products of its gradients and, every {@code precondition_frequency} steps, new eigenvectors of it, by one step of power
 * iteration and QR. A parameter's first step only sets these up, by an eigendecomposition, and does not move it.
 *
 * <p>A step is a cast, for each dimension three products for all tensors of one shape together, and two fused passes over all tensors.
 * Where the authors project the average of the gradients back and forth in each step, this is done only where the basis changes; what they
 * permute is multiplied by a permutation matrix. Eigenvectors are LAPACK's on the CPU engine, and Jacobi's on the reference engine:
 * where eigenvalues are equal, such as the zeros of a gradient of low rank, the bases of their spaces are arbitrary, and engines, or the
 * authors' version, go on differently.
 *
 * <p>All is computed and kept in float32, or float64 for float64 parameters. A zero gradient moves nothing; an infinity or a NaN is refused at
 * the latest when eigenvectors are computed, with the step half done. Tensors of two dimensions or more must be in row-major order;
 * the authors' {@code data_format="channels_last"} is not there. {@code max_precond_dim}, {@code merge_dims} and {@code precondition_1d} cannot
 * change after the first step. On CUDA the CPU decomposes copies of the matrices, for which a step that changes bases waits.
 *
 * <p>State: {@code step}, {@code exp_avg} (in the eigenbasis), {@code exp_avg_sq}, and the lists {@code GG} and {@code Q} with a square matrix
 * for each dimension that is preconditioned.
 *
 * @see <a href="https://github.com/nikhilvyas/SOAP/blob/main/soap.py">nikhilvyas/SOAP</a>
 * @see <a href="https://arxiv.org/abs/2409.11321">Vyas et al., SOAP: Improving and Stabilizing Shampoo using Adam</a>
 */
public final class SOAP extends TensorOptimizer<SOAP.Options> {
    /**
     * The options, with the authors' names and defaults.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the two averages, each in [0, 1)
     * @param shampooBeta decay rate of the averages of outer products; below 0 the second of the betas
     * @param eps added to the denominator, at least 0
     * @param weightDecay relative shrinking after each step, times the learning rate, at least 0
     * @param preconditionFrequency how many steps a basis serves
     * @param maxPrecondDim dimensions larger than this one have no preconditioner
     * @param mergeDims merge neighbouring dimensions as long as their product is not larger than {@code max_precond_dim}
     * @param precondition1d precondition vectors, too
     * @param normalizeGrads divide each tensor's update by its root mean square
     * @param correctBias correct the averages' bias, as Adam
     */
    public record Options(double lr, Betas betas, double shampooBeta, double eps, double weightDecay, int preconditionFrequency,
                          long maxPrecondDim, boolean mergeDims, boolean precondition1d, boolean normalizeGrads, boolean correctBias) {
        /** Refuses what is out of range. */
        public Options {
            Check.lr("SOAP", lr);
            Check.betas("SOAP", betas);
            Check.check(shampooBeta <= 1, "SOAP", "Invalid shampoo_beta value: " + shampooBeta);
            Check.eps("SOAP", eps);
            Check.weightDecay("SOAP", weightDecay);
            Check.check(preconditionFrequency > 0, "SOAP", "Invalid precondition_frequency value: " + preconditionFrequency);
            Check.check(maxPrecondDim >= 0, "SOAP", "Invalid max_precond_dim value: " + maxPrecondDim);
        }

        /** The authors' defaults. */
        public static Options defaults() {
            return new Options(3e-3, new Betas(0.95, 0.95), -1, 1e-8, 0.01, 10, 10000, false, false, false, true);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, betas, shampooBeta, eps, weightDecay, preconditionFrequency, maxPrecondDim, mergeDims,
                    precondition1d, normalizeGrads, correctBias);
        }

        public Options withBetas(double first, double second) {
            return new Options(lr, new Betas(first, second), shampooBeta, eps, weightDecay, preconditionFrequency, maxPrecondDim,
                    mergeDims, precondition1d, normalizeGrads, correctBias);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(lr, betas, shampooBeta, eps, newWeightDecay, preconditionFrequency, maxPrecondDim, mergeDims,
                    precondition1d, normalizeGrads, correctBias);
        }

        public Options withPreconditionFrequency(int newPreconditionFrequency) {
            return new Options(lr, betas, shampooBeta, eps, weightDecay, newPreconditionFrequency, maxPrecondDim, mergeDims,
                    precondition1d, normalizeGrads, correctBias);
        }

        public Options withMaxPrecondDim(long newMaxPrecondDim) {
            return new Options(lr, betas, shampooBeta, eps, weightDecay, preconditionFrequency, newMaxPrecondDim, mergeDims,
                    precondition1d, normalizeGrads, correctBias);
        }

        public Options withMergeDims(boolean newMergeDims) {
            return new Options(lr, betas, shampooBeta, eps, weightDecay, preconditionFrequency, maxPrecondDim, newMergeDims,
                    precondition1d, normalizeGrads, correctBias);
        }

        public Options withPrecondition1d(boolean newPrecondition1d) {
            return new Options(lr, betas, shampooBeta, eps, weightDecay, preconditionFrequency, maxPrecondDim, mergeDims,
                    newPrecondition1d, normalizeGrads, correctBias);
        }

        public Options withNormalizeGrads(boolean newNormalizeGrads) {
            return new Options(lr, betas, shampooBeta, eps, weightDecay, preconditionFrequency, maxPrecondDim, mergeDims,
                    precondition1d, newNormalizeGrads, correctBias);
        }
    }

    /** The options by the authors' names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("SOAP", Options.defaults());

    static final String EXP_AVG = "exp_avg";
    static final String EXP_AVG_SQ = "exp_avg_sq";
    static final String GG = "GG";
    static final String Q = "Q";

    private static final int MAX_PRECOND_DIM = SCHEMA.index("max_precond_dim");
    private static final int MERGE_DIMS = SCHEMA.index("merge_dims");
    private static final int PRECONDITION_1D = SCHEMA.index("precondition_1d");

    private final SoapStep step;

    /** An optimizer of one group on the best engine for its device. */
    public SOAP(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("SOAP", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public SOAP(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
        step = new SoapStep(engine, this::stream);
    }

    @Override
    protected void checkParameter(String name, Tensor value) {
        Modes.checkOrder("SOAP", name, value);
    }

    /** The sizes of a tensor's dimensions, merged if wanted. */
    static long[] dimensions(ParamGroup group, long... shape) {
        if (group.value(MERGE_DIMS) == 0 || shape.length == 1) {
            return shape;
        }
        List<Long> merged = new ArrayList<>();
        long current = 1;
        for (long size : shape) {
            if (current * size <= group.value(MAX_PRECOND_DIM)) {
                current *= size;
            } else if (current > 1) {
                merged.add(current);
                current = size;
            } else {
                merged.add(size);
            }
        }
        if (current > 1 || merged.isEmpty()) {
            merged.add(current);
        }
        return merged.stream().mapToLong(size -> size).toArray();
    }

    /** Whether a dimension has a preconditioner. */
    static boolean isPreconditioned(ParamGroup group, long[] shape, long size) {
        return size <= group.value(MAX_PRECOND_DIM) && (shape.length != 1 || group.value(PRECONDITION_1D) != 0);
    }

    @Override
    protected Map<String, Tensor> newState(Target target, Memory allocated) {
        Map<String, Tensor> state = new LinkedHashMap<>();
        Tensor value = target.tensor();
        DType type = value.dtype().computeType();
        state.put(EXP_AVG, allocated.zerosLike(value, type));
        state.put(EXP_AVG_SQ, allocated.zerosLike(value, type));
        long[] dimensions = dimensions(target.group(), value.shape());
        for (String key : List.of(GG, Q)) {
            for (int mode = 0; mode < dimensions.length; mode++) {
                if (isPreconditioned(target.group(), value.shape(), dimensions[mode])) {
                    state.put(key + "." + mode, allocated.zeros(type, dimensions[mode], dimensions[mode]));
                }
            }
        }
        return state;
    }

    @Override
    protected Map<String, Integer> lists(Target target) {
        int modes = dimensions(target.group(), target.tensor().shape()).length;
        return Map.of(GG, modes, Q, modes);
    }

    @Override
    protected Set<String> unread() {
        return Set.of("precondition_frequency", "shampoo_beta");
    }

    @Override
    protected void checkStep(Target target) {
        checkState(target);
    }

    /** Refuses options that ask for another state than there is. */
    static void checkState(Target target) {
        long[] dimensions = dimensions(target.group(), target.tensor().shape());
        for (int mode = 0; mode < dimensions.length && target.tensor().elements() > 0; mode++) {
            Tensor outer = target.stateOrNull(GG + "." + mode);
            boolean wanted = isPreconditioned(target.group(), target.tensor().shape(), dimensions[mode]);
            if (wanted != (outer != null) || outer != null && outer.shape()[0] != dimensions[mode]) {
                throw PanoptimException.invalid("SOAP.step", "max_precond_dim, merge_dims and precondition_1d cannot change after the first "
                        + "step: '" + target.name() + "' has other preconditioners");
            }
        }
    }

    @Override
    protected void build(List<Target> stepping) {
        step.build(stepping);
    }

    @Override
    protected void moved(Map<Integer, Tensor> gradients) {
        step.moved(gradients);
    }

    @Override
    protected void stepTargets() {
        if (step.run()) {
            replan(); // those that have got a basis go along with others that have one
        }
    }

    @Override
    protected void freePlans() {
        if (step != null) { // not before the first group has been added
            step.close();
        }
    }
}
