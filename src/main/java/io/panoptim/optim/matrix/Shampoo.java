package io.panoptim.optim.matrix;

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
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * Shampoo with grafting, as {@code facebookresearch/optimizers} has it (commit f606606, {@code DistributedShampoo} with its
 * {@code RootInvShampooPreconditionerConfig}, on one device): each dimension of a gradient is multiplied by an inverse root of the sum, or
 * average, of its outer products; that step then gets the norm of another method's.
 *
 * <p>Dimensions of size 1 are left out, neighbouring ones merged as long as their product is not larger than
 * {@code max_preconditioner_dim}, and what is larger is cut into blocks, each with preconditioners, and a norm to graft, of its own. A vector
 * has a full matrix. Roots are computed in steps that {@code precondition_frequency} divides, from {@code start_preconditioning_step} on; before
 * that steps are the grafted method's.
 *
 * <p>A step is a cast, three products for each dimension for all blocks of one shape together, and three fused passes over all blocks.
 * All is computed and kept in float32, or float64 for float64 parameters, where the source's factors are float32 unless it is told otherwise.
 * Parameters must be in row-major order. Every parameter counts its own steps, the source's groups count theirs, with or without gradients.
 *
 * <p>A zero gradient moves nothing: roots of what is singular are those of {@code epsilon} more. What is not finite is refused
 * when roots are computed, with factors changed and the parameters as they were; the source goes on with the old roots up to three
 * times where a decomposition fails. Options that change the state, {@code max_preconditioner_dim},
 * {@code target_parameter_dimensionality}, {@code inverse_exponent_override}, and whether {@code betas[0]}, {@code momentum} and the squares of
 * {@code grafting_type} are there, cannot change after the first step. On CUDA the CPU finds the eigenvectors, in copies of the matrices,
 * for which a step that computes roots waits; coupled Newton iterations stay on the device.
 *
 * <p>Left out of the source: everything distributed, averages of iterates (the schedule-free and primal forms), weight decay by a peak
 * learning rate, trace scaling, exponents by dimension, and all other preconditioners.
 *
 * <p>State: {@code step}, and of each block {@code block_0.shampoo.factor_matrices.0}, {@code block_0.shampoo.inv_factor_matrices.0}, … (as
 * with the source's {@code use_symmetric_packing=False}, whose nested dictionaries are loaded, too), {@code block_0.adagrad} (the squares), {@code block_0.filtered_grad} and
 * {@code block_0.momentum_buffer}, where the options need them.
 *
 * @see <a href="https://github.com/facebookresearch/optimizers/tree/main/distributed_shampoo">facebookresearch/optimizers</a>
 * @see <a href="https://arxiv.org/abs/2309.06497">Shi et al., A Distributed Data-Parallel PyTorch Implementation of the Distributed Shampoo
 *     Optimizer</a>
 */
public final class Shampoo extends TensorOptimizer<Shampoo.Options> {
    /** Whose norm a block's step gets; all of the same filtered gradients. */
    public enum Grafting {
        /** Shampoo's own. */
        NONE,
        /** That of the gradient. */
        SGD,
        /** Squares are added up. */
        ADAGRAD,
        /** Squares are averaged. */
        RMSPROP,
        /** The same with their bias corrected. */
        ADAM;

        boolean hasSquares() {
            return compareTo(SGD) > 0;
        }
    }

    /** How weights decay. */
    public enum WeightDecayType {
        /** As a part of the gradient. */
        L2,
        /** As a part of the preconditioned step. */
        DECOUPLED
    }

    /** How inverse roots are computed, of what epsilon was added to. */
    public enum RootInv {
        /** From eigenvalues; all are raised where the least, by rounding, is still smaller than epsilon, so that it is that. */
        EIGEN,
        /** By coupled Newton iterations; roots are whole numbers, and epsilon not too small for the type. */
        COUPLED_NEWTON
    }

    /**
     * Exponents by the number of a block's dimensions; 0 for no preconditioners. Without one, or of more dimensions, it is half of one over
     * their number.
     */
    public record Exponents(OptionalDouble vector, OptionalDouble matrix, OptionalDouble three, OptionalDouble four) {}

    /**
     * The options, with the source's names and defaults; those of its configurations under their own names.
     *
     * @param lr learning rate, at least 0
     * @param betas decay rates of the averages of gradients, in [0, 1), 0 for none, and of outer products, in [0, 1], 1 for sums
     * @param beta3 what is preconditioned is the gradient and this part of the average before it; -1 for the first of the betas
     * @param epsilon added to eigenvalues, above 0
     * @param weightDecay relative shrinking per step, times the learning rate, at least 0
     * @param weightDecayType whether it is decoupled
     * @param maxPreconditionerDim largest size of a block, at least 1
     * @param preconditionFrequency how many steps a root serves
     * @param startPreconditioningStep the first step with roots, not before one full period; -1 for that
     * @param useBiasCorrection correct the bias of gradients' and outer products' averages, as Adam
     * @param graftingType whose norm steps get
     * @param graftingBeta2 decay rate of the squares' averages, in (0, 1]
     * @param graftingEpsilon added to the squares' roots, above 0
     * @param momentum of the steps, in [0, 1); 0 for none
     * @param dampening how much less of a step goes into its momentum, in [0, 1)
     * @param useNesterov a step goes on as its momentum would
     * @param rootInv how inverse roots are computed
     * @param inverseExponentOverride other exponents, each at least 0
     * @param targetParameterDimensionality merge dimensions until there are no more than these; none: merge nothing, and keep sizes of 1
     */
    public record Options(double lr, Betas betas, double beta3, double epsilon, double weightDecay, WeightDecayType weightDecayType,
                          long maxPreconditionerDim, int preconditionFrequency, int startPreconditioningStep, boolean useBiasCorrection,
                          Grafting graftingType, double graftingBeta2, double graftingEpsilon, double momentum, double dampening,
                          boolean useNesterov, RootInv rootInv, Exponents inverseExponentOverride,
                          OptionalInt targetParameterDimensionality) {
        /** Refuses what is out of range. */
        public Options {
            Check.lr("Shampoo", lr);
            inRange("betas[0]", betas.first(), 0, 1, false);
            inRange("betas[1]", betas.second(), 0, 1, true);
            if (beta3 != -1) {
                inRange("beta3", beta3, 0, 1, false);
            }
            Check.check(epsilon > 0, "Shampoo", "Invalid epsilon value: " + epsilon + ". Must be > 0.0.");
            Check.weightDecay("Shampoo", weightDecay);
            Check.check(maxPreconditionerDim >= 1, "Shampoo", "Invalid max_preconditioner_dim value: " + maxPreconditionerDim
                    + ". Must be >= 1.");
            Check.check(preconditionFrequency >= 1, "Shampoo", "Invalid precondition_frequency value: " + preconditionFrequency
                    + ". Must be >= 1.");
            Check.check(startPreconditioningStep == -1 || startPreconditioningStep >= preconditionFrequency, "Shampoo",
                    "Invalid start_preconditioning_step value: " + startPreconditioningStep + ". Must be >= precondition_frequency, "
                            + preconditionFrequency + ", or -1.");
            Check.check(graftingBeta2 > 0 && graftingBeta2 <= 1, "Shampoo", "Invalid grafting beta2 parameter: " + graftingBeta2
                    + ". Must be in (0.0, 1.0].");
            Check.check(graftingEpsilon > 0, "Shampoo", "Invalid grafting_epsilon value: " + graftingEpsilon + ". Must be > 0.0.");
            inRange("momentum", momentum, 0, 1, false);
            inRange("dampening", dampening, 0, 1, false);
            for (int order = 1; order <= OVERRIDES; order++) {
                double exponent = exponent(inverseExponentOverride, order);
                Check.check(exponent >= 0, "Shampoo", "Invalid inverse_exponent_override value: " + exponent + ". Must be >= 0.");
                Check.check(rootInv != RootInv.COUPLED_NEWTON || exponent == 0 || 1 / exponent == Math.rint(1 / exponent), "Shampoo",
                        "the root 1 / " + exponent + " must be a whole number to use coupled inverse Newton iteration");
            }
            Check.check(targetParameterDimensionality.orElse(1) >= 1, "Shampoo", "Invalid target_parameter_dimensionality value: "
                    + targetParameterDimensionality.orElse(1) + ". Must be >= 1.");
        }

        private static void inRange(String name, double value, double least, double most, boolean included) {
            Check.check(value >= least && (value < most || included && value == most), "Shampoo", "Invalid " + name + " value: " + value
                    + ". Must be in [" + least + ", " + most + (included ? "]." : ")."));
        }

        /** The source's defaults. */
        public static Options defaults() {
            OptionalDouble none = OptionalDouble.empty();
            return new Options(1e-2, new Betas(0.9, 1), -1, 1e-12, 0, WeightDecayType.DECOUPLED, 1024, 1, -1, true, Grafting.NONE, 0.999,
                    1e-10, 0, 0, false, RootInv.EIGEN, new Exponents(none, none, none, none), OptionalInt.of(1));
        }

        public Options withLr(double newLr) {
            return with("lr", newLr);
        }

        public Options withBetas(double first, double second) {
            return with("betas", new Betas(first, second));
        }

        public Options withBeta3(double newBeta3) {
            return with("beta3", newBeta3);
        }

        public Options withEpsilon(double newEpsilon) {
            return with("epsilon", newEpsilon);
        }

        public Options withWeightDecay(double newWeightDecay, WeightDecayType type) {
            return with("weight_decay", newWeightDecay).with("weight_decay_type", type);
        }

        public Options withMaxPreconditionerDim(long newMaxPreconditionerDim) {
            return with("max_preconditioner_dim", newMaxPreconditionerDim);
        }

        /** The first roots are computed after one period. */
        public Options withPreconditionFrequency(int newPreconditionFrequency) {
            return withPreconditioning(newPreconditionFrequency, -1);
        }

        /** How often roots are computed, and when first. */
        public Options withPreconditioning(int frequency, int start) {
            return SCHEMA.with(this, Map.of("precondition_frequency", frequency, "start_preconditioning_step", start));
        }

        public Options withUseBiasCorrection(boolean newUseBiasCorrection) {
            return with("use_bias_correction", newUseBiasCorrection);
        }

        public Options withGrafting(Grafting type, double beta2, double newEpsilon) {
            return with("grafting_type", type).with("grafting_beta2", beta2).with("grafting_epsilon", newEpsilon);
        }

        public Options withMomentum(double newMomentum, double newDampening, boolean nesterov) {
            return with("momentum", newMomentum).with("dampening", newDampening).with("use_nesterov", nesterov);
        }

        public Options withRootInv(RootInv newRootInv) {
            return with("root_inv", newRootInv);
        }

        public Options withInverseExponentOverride(Exponents exponents) {
            return with("inverse_exponent_override", exponents);
        }

        public Options withTargetParameterDimensionality(OptionalInt dimensionality) {
            return with("target_parameter_dimensionality", dimensionality);
        }

        private Options with(String name, Object value) {
            return SCHEMA.with(this, Map.of(name, value));
        }
    }

    /** Of how many dimensions there are exponents. */
    private static final int OVERRIDES = 4;

    /** The options by the source's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Shampoo", Options.defaults());

    static final String ADAGRAD = "adagrad";
    static final String FILTERED_GRAD = "filtered_grad";
    static final String MOMENTUM_BUFFER = "momentum_buffer";
    static final String FACTORS = "shampoo.factor_matrices.";
    static final String INVERSES = "shampoo.inv_factor_matrices.";

    private static final int BETAS = SCHEMA.index("betas");
    private static final int MAX_PRECONDITIONER_DIM = SCHEMA.index("max_preconditioner_dim");
    private static final int GRAFTING_TYPE = SCHEMA.index("grafting_type");
    private static final int MOMENTUM = SCHEMA.index("momentum");
    private static final int INVERSE_EXPONENT_OVERRIDE = SCHEMA.index("inverse_exponent_override");
    private static final int TARGET_PARAMETER_DIMENSIONALITY = SCHEMA.index("target_parameter_dimensionality");

    /**
     * A part of a tensor, after its dimensions were merged.
     *
     * @param number among the tensor's
     * @param first the place of its first element in each dimension
     * @param sizes of its dimensions
     */
    record Block(int number, List<Long> first, List<Long> sizes) {
        long elements() {
            return sizes.stream().reduce(1L, (a, b) -> a * b);
        }

        /** A state's key. */
        String key(String state) {
            return "block_" + number + "." + state;
        }
    }

    private final ShampooStep step;

    /** An optimizer of one group on the best engine for its device. */
    public Shampoo(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Shampoo", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Shampoo(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
        step = new ShampooStep(engine, this::stream);
    }

    @Override
    protected void checkParameter(String name, Tensor value) {
        Modes.checkOrder("Shampoo", name, value);
    }

    /** The sizes of a tensor's dimensions, merged from the last one on ({@code merge_small_dims}). */
    static List<Long> dimensions(ParamGroup group, long... shape) {
        List<Long> sizes = new ArrayList<>();
        double target = group.value(TARGET_PARAMETER_DIMENSIONALITY);
        for (long size : shape) {
            if (Double.isNaN(target) || size != 1) {
                sizes.add(size);
            }
        }
        if (Double.isNaN(target)) {
            return sizes;
        }
        if (sizes.isEmpty()) {
            return List.of(1L);
        }
        Collections.reverse(sizes);
        List<Long> merged = new ArrayList<>(List.of(sizes.getFirst()));
        for (int i = 1; i < sizes.size(); i++) {
            long product = merged.getLast() * sizes.get(i);
            if (merged.size() + sizes.size() - i > target && product <= group.value(MAX_PRECONDITIONER_DIM)) {
                merged.set(merged.size() - 1, product);
            } else {
                merged.add(sizes.get(i));
            }
        }
        Collections.reverse(merged);
        return merged;
    }

    /** The blocks of a tensor with these dimensions ({@code multi_dim_split}); an empty one has none. */
    static List<Block> blocks(ParamGroup group, List<Long> dimensions) {
        long most = (long) group.value(MAX_PRECONDITIONER_DIM);
        List<Block> blocks = List.of(new Block(0, List.of(), List.of()));
        for (long dimension : dimensions) {
            List<Block> cut = new ArrayList<>();
            for (Block block : blocks) {
                for (long first = 0; first < dimension; first += most) {
                    cut.add(new Block(cut.size(), append(block.first, first), append(block.sizes, Math.min(most, dimension - first))));
                }
            }
            blocks = cut;
        }
        return blocks;
    }

    private static List<Long> append(List<Long> list, long element) {
        List<Long> longer = new ArrayList<>(list);
        longer.add(element);
        return List.copyOf(longer);
    }

    /** The exponent of the inverse powers for blocks of so many dimensions; 0 if they have no preconditioners. */
    static double exponent(ParamGroup group, int order) {
        double override = order < 1 || order > OVERRIDES ? Double.NaN : group.value(INVERSE_EXPONENT_OVERRIDE + order - 1);
        return Double.isNaN(override) ? 1.0 / (2 * Math.max(order, 1)) : override;
    }

    private static double exponent(Exponents overrides, int order) {
        OptionalDouble override = switch (order) {
            case 1 -> overrides.vector;
            case 2 -> overrides.matrix;
            case 3 -> overrides.three;
            default -> overrides.four;
        };
        return override.orElse(1.0 / (2 * order));
    }

    static Grafting grafting(ParamGroup group) {
        return Grafting.values()[(int) group.value(GRAFTING_TYPE)];
    }

    /** The states of a block with a value for each of its elements. */
    static List<String> elementStates(ParamGroup group) {
        List<String> keys = new ArrayList<>();
        if (grafting(group).hasSquares()) {
            keys.add(ADAGRAD);
        }
        if (group.value(BETAS) != 0) {
            keys.add(FILTERED_GRAD);
        }
        if (group.value(MOMENTUM) != 0) {
            keys.add(MOMENTUM_BUFFER);
        }
        return keys;
    }

    @Override
    protected Map<String, Tensor> newState(Target target, Memory allocated) {
        Map<String, Tensor> state = new LinkedHashMap<>();
        DType type = target.tensor().dtype().computeType();
        for (Block block : blocks(target.group(), dimensions(target.group(), target.tensor().shape()))) {
            if (exponent(target.group(), block.sizes.size()) != 0) {
                for (int mode = 0; mode < block.sizes.size(); mode++) {
                    long size = block.sizes.get(mode);
                    state.put(block.key(FACTORS + mode), allocated.zeros(type, size, size));
                    state.put(block.key(INVERSES + mode), allocated.zeros(type, size, size));
                }
            }
            for (String key : elementStates(target.group())) {
                state.put(block.key(key), allocated.zeros(type, block.sizes.stream().mapToLong(size -> size).toArray()));
            }
        }
        return state;
    }

    /** Before the first roots they are those of the identity. */
    @Override
    protected void begin(Target target) {
        for (Block block : blocks(target.group(), dimensions(target.group(), target.tensor().shape()))) {
            for (int mode = 0; mode < block.sizes.size() && exponent(target.group(), block.sizes.size()) != 0; mode++) {
                Tensor inverse = target.state(block.key(INVERSES + mode));
                engine().copy(identity(inverse.dtype(), inverse.shape()[0]), inverse, stream());
            }
        }
    }

    private static Tensor identity(DType type, long size) {
        Tensor identity = Tensor.zeros(Arena.ofAuto(), type, size, size);
        for (long i = 0; i < size; i++) {
            identity.set(i * (size + 1), 1);
        }
        return identity;
    }

    @Override
    protected void build(List<Target> stepping) {
        step.build(stepping);
    }

    @Override
    protected void checkStep(Target target) {
        if (target.tensor().elements() > 0) {
            ShampooStep.checkState(target, blocks(target.group(), dimensions(target.group(), target.tensor().shape())));
        }
    }

    @Override
    protected void moved(Map<Integer, Tensor> gradients) {
        step.moved(gradients);
    }

    @Override
    protected void stepTargets() {
        step.run();
    }

    @Override
    protected void freePlans() {
        if (step != null) { // not before the first group has been added
            step.close();
        }
    }
}
