package io.panoptim.optim.matrix;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.optim.Check;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.TensorOptimizer;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Dion, as its authors' {@code dion_reference.py} does it on one device: a step goes along the orthonormalized approximation of the
 * momentum by a matrix of low rank, which a power iteration improves from step to step; what it misses stays in the momentum. With B the
 * momentum, or the momentum transposed where the parameter has more columns than rows:
 *
 * <pre>{@code
 * B += G;  P = orthonormal(B Q);  R = B^T P;  B -= (1 - mu) P R^T;  Q = R with columns of length 1
 * X *= 1 - lr weight_decay;  X -= lr sqrt(rows / columns) P Q^T
 * }</pre>
 *
 * <p>{@code dion.py} is the same, distributed, and has one power iteration and one QR method alone. {@code dion_simple.py} does not
 * transpose wide matrices, and so approximates them otherwise, takes a rank instead of a part of the shorter side, and loses Q where a
 * momentum is zero. Here, as in the other two, Q then stays, with columns of length 1, and the parameter only decays.
 *
 * <p>The authors' QR methods, {@code qr}, {@code cqr} and {@code rcqr}, all divide {@code B Q} by an upper triangle: by one and the same but
 * for signs of P's columns, which R's and Q's share, so that {@code P R^T} and {@code P Q^T} do not have them. So there are two methods
 * here, both deterministic, and no random sketches: Householder's, and {@link io.panoptim.linalg.CholeskyQR}, as stable as {@code rcqr} and
 * without a warm-up. Where {@code B Q} has less than full rank both are Householder's, and columns of P beyond that rank are orthonormalized
 * rounding errors: as in the source only {@code epsilon} keeps these from being as long a step as the others, if their columns of R are
 * shorter than it.
 *
 * <p>A step is one fused pass that checks the gradients, one for the momenta, products and QR of all matrices of one shape together, straight
 * from the momenta and to the parameters, and one fused pass over all Q. Parameters of more than two dimensions, which the source refuses,
 * are flattened after the first one. All is computed and kept in float32 (float64 for float64 parameters); only a half type's last product
 * is of factors rounded to that type, as the source's. The first Q is Gaussian, from {@code seed} and the parameter's number, the source's
 * from torch's generator. A gradient or a loaded state that is not finite is refused before anything is written; the source's momentum
 * turns into NaNs, and its parameter never moves again. Where a sum with the momentum, or a product with it, is beyond the largest number
 * of its type, the step fails half-way, as that only shows then. The source's groups for AdamW and Lion are other optimizers here.
 *
 * <p>State: {@code momentum}, and {@code Q}, of as many rows as the shorter side has, and the rank's columns, one after the other in
 * memory. Groups are saved with those entries of the source's that are no options here, too, so that it loads them: as they were loaded, or
 * its defaults, and {@code step} counted.
 *
 * @see <a href="https://github.com/microsoft/dion/blob/main/dion/dion_reference.py">microsoft/dion</a>
 * @see <a href="https://arxiv.org/abs/2504.05295">Ahn et al., Dion: Distributed Orthonormalized Updates</a>
 */
public final class Dion extends TensorOptimizer<Dion.Options> {
    /** How columns are made orthonormal. */
    public enum QrMethod {
        /** By Householder's reflections: LAPACK's on the CPU engine; CUDA's copies the matrices to the CPU and back. */
        QR,
        /** By products, and by the CPU Cholesky factors of as many rows as the rank: for low ranks. */
        CQR
    }

    /**
     * The options, with the authors' names and defaults, but for {@code qrMethod} and {@code seed}.
     *
     * @param rankFraction the rank over the shorter side, in (0, 1]
     * @param rankMultipleOf the rank is rounded up to a multiple of this, if that is not larger than the shorter side
     * @param lr learning rate, at least 0
     * @param mu the part of the approximation that stays in the momentum, at least 0
     * @param weightDecay relative shrinking per step, times the learning rate as it is before it is adjusted to the shape, at least 0
     * @param epsilon added to the lengths that columns are divided by, at least 0
     * @param powerIters how many power iterations, at least 1
     * @param qrMethod how columns are made orthonormal
     * @param seed of the first Q
     */
    public record Options(double rankFraction, int rankMultipleOf, double lr, double mu, double weightDecay, double epsilon,
                          int powerIters, QrMethod qrMethod, int seed) {
        /** Refuses what is out of range, in the authors' words. */
        public Options {
            Check.lr("Dion", lr);
            Check.check(mu >= 0, "Dion", "Invalid momentum factor (mu): " + mu);
            Check.weightDecay("Dion", weightDecay);
            Check.check(rankFraction > 0 && rankFraction <= 1, "Dion", "Invalid rank fraction: " + rankFraction);
            Check.check(rankMultipleOf > 0, "Dion", "Invalid rank multiple of: " + rankMultipleOf);
            Check.check(powerIters > 0, "Dion", "Invalid power iterations: " + powerIters);
            Check.eps("Dion", epsilon);
        }

        /** The authors' defaults. */
        public static Options defaults() {
            return new Options(1, 1, 0.01, 0.95, 0.01, 1e-8, 1, QrMethod.QR, 0);
        }

        public Options withRankFraction(double newRankFraction) {
            return new Options(newRankFraction, rankMultipleOf, lr, mu, weightDecay, epsilon, powerIters, qrMethod, seed);
        }

        public Options withRankMultipleOf(int newRankMultipleOf) {
            return new Options(rankFraction, newRankMultipleOf, lr, mu, weightDecay, epsilon, powerIters, qrMethod, seed);
        }

        public Options withLr(double newLr) {
            return new Options(rankFraction, rankMultipleOf, newLr, mu, weightDecay, epsilon, powerIters, qrMethod, seed);
        }

        public Options withMu(double newMu) {
            return new Options(rankFraction, rankMultipleOf, lr, newMu, weightDecay, epsilon, powerIters, qrMethod, seed);
        }

        public Options withWeightDecay(double newWeightDecay) {
            return new Options(rankFraction, rankMultipleOf, lr, mu, newWeightDecay, epsilon, powerIters, qrMethod, seed);
        }

        public Options withEpsilon(double newEpsilon) {
            return new Options(rankFraction, rankMultipleOf, lr, mu, weightDecay, newEpsilon, powerIters, qrMethod, seed);
        }

        public Options withPowerIters(int newPowerIters) {
            return new Options(rankFraction, rankMultipleOf, lr, mu, weightDecay, epsilon, newPowerIters, qrMethod, seed);
        }

        public Options withQrMethod(QrMethod newQrMethod) {
            return new Options(rankFraction, rankMultipleOf, lr, mu, weightDecay, epsilon, powerIters, newQrMethod, seed);
        }

        public Options withSeed(int newSeed) {
            return new Options(rankFraction, rankMultipleOf, lr, mu, weightDecay, epsilon, powerIters, qrMethod, newSeed);
        }
    }

    /** The options by the authors' names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("Dion", Options.defaults());

    static final String MOMENTUM = "momentum";
    static final String Q = "Q";

    private static final int RANK_FRACTION = SCHEMA.index("rank_fraction");
    private static final int RANK_MULTIPLE_OF = SCHEMA.index("rank_multiple_of");
    private static final int SEED = SCHEMA.index("seed");

    /** The source's count of a group's steps, those without any gradient among them. */
    private static final String STEP = "step";
    /** Entries of the source's groups that mean nothing here, without which it does not load them. */
    private static final Map<String, Object> OF_THE_SOURCE = ofTheSource();

    private final DionStep step;
    /** Those entries of groups that were loaded. */
    private final Map<ParamGroup, Map<String, @Nullable Object>> entries = new IdentityHashMap<>();
    /** How many {@link #steps} there were before the first one that counts for a group: since it was added, or loaded. */
    private final Map<ParamGroup, Long> stepsBefore = new IdentityHashMap<>();
    private DType products = DType.FLOAT32;

    /** An optimizer of one group on the best engine for its device. */
    public Dion(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("Dion", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public Dion(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, parameters, options);
        step = new DionStep(engine, this::stream, () -> products);
    }

    /**
     * The type of the products of a momentum with its factors, but for float64 parameters: float32, as it is at first, or bfloat16, as in the
     * source with momenta of that type. What rounding makes the approximation miss stays in the momentum, which stays float32.
     */
    public void products(DType type) {
        if (type != products) {
            change("products", () -> {
                products = MuonFamily.checkProducts("Dion", type);
                replan();
            });
        }
    }

    /** The type of the products of a momentum with its factors. */
    public DType products() {
        return products;
    }

    /** What is held besides the state, from the first step on, for the parameters that have stepped last. */
    public long workspaceBytes() {
        return step.bytes();
    }

    @Override
    protected void checkParameter(String name, Tensor value) {
        int dimensions = value.shape().length;
        Check.check(dimensions >= 2, "Dion", "Expected Dion parameters to be 2D matrix, but got " + dimensions + "D: '" + name + "' is "
                + value + " (those of more dimensions are flattened after the first one)");
        if (dimensions > 2 && !value.isRowMajor()) {
            throw PanoptimException.unsupported("Dion", "'" + name + "' is " + value + " in another order than row-major: expected that "
                    + "of more than two dimensions");
        }
    }

    /** The smaller one of the matrix's sides. */
    static long shorter(Tensor value) {
        return Math.min(value.shape()[0], columns(value));
    }

    /** The product of all sizes but the first. */
    static long columns(Tensor value) {
        return Arrays.stream(value.shape()).skip(1).reduce(1, (a, b) -> a * b);
    }

    private static long rank(Target target) {
        double wanted = target.group().value(RANK_FRACTION) * shorter(target.tensor());
        double multiple = target.group().value(RANK_MULTIPLE_OF);
        return (long) Math.min(multiple * Math.ceil(wanted / multiple), shorter(target.tensor()));
    }

    /** Q lies in memory column by column, so that these are what the engines' sums over rows are taken of. */
    @Override
    protected Map<String, Tensor> newState(Target target, Memory allocated) {
        Map<String, Tensor> state = new LinkedHashMap<>();
        Tensor value = target.tensor();
        state.put(MOMENTUM, allocated.zerosLike(value, value.dtype().computeType()));
        state.put(Q, allocated.zeros(value.dtype().computeType(), rank(target), shorter(value)).transposed());
        return state;
    }

    @Override
    protected void begin(Target target) {
        step.fillGaussian(target.state(Q), (long) target.group().value(SEED), target.id());
    }

    @Override
    protected boolean countsSteps(ParamGroup group) {
        return false;
    }

    @Override
    protected void checkStep(Target target) {
        if (target.state(Q).shape()[1] != rank(target)) {
            throw PanoptimException.invalid("Dion.step", "rank_fraction and rank_multiple_of cannot change after the first step: the Q of '"
                    + target.name() + "' is " + target.state(Q) + ", a new one would have " + rank(target) + " columns");
        }
        step.prepare(target);
    }

    @Override
    protected void checkGradients() {
        step.checkGradients();
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
        step.run();
    }

    @Override
    protected void checkGroup(ParamGroup group) {
        if (!stepsBefore.containsKey(group)) {
            stepsBefore.put(group, steps());
        }
    }

    private static Map<String, Object> ofTheSource() {
        Map<String, Object> defaults = new LinkedHashMap<>();
        defaults.put("beta1", 0.9);
        defaults.put("beta2", 0.95);
        defaults.put("oversample", 1.25);
        defaults.put("algorithm", "dion");
        defaults.put(STEP, 0L);
        return defaults;
    }

    @Override
    protected Set<String> savedOfGroups() {
        return OF_THE_SOURCE.keySet();
    }

    @Override
    protected void saveGroup(ParamGroup group, Map<String, @Nullable Object> saved) {
        entries.getOrDefault(group, Map.of()).forEach(saved::putIfAbsent);
        OF_THE_SOURCE.forEach(saved::putIfAbsent);
        if (saved.get(STEP) instanceof Number before) {
            saved.put(STEP, before.longValue() + steps() - stepsBefore.getOrDefault(group, steps()));
        }
    }

    @Override
    protected Runnable prepareLoad(Map<String, ? extends @Nullable Object> dict) {
        Runnable load = super.prepareLoad(dict);
        List<Map<String, @Nullable Object>> loaded = new ArrayList<>();
        for (Object group : (List<?>) Objects.requireNonNull(dict.get("param_groups"))) {
            Map<String, @Nullable Object> kept = new LinkedHashMap<>(OF_THE_SOURCE);
            kept.replaceAll((key, value) -> ((Map<?, ?>) group).containsKey(key) ? ((Map<?, ?>) group).get(key) : value);
            loaded.add(kept);
        }
        return () -> {
            load.run();
            for (int i = 0; i < loaded.size(); i++) {
                entries.put(paramGroups().get(i), loaded.get(i));
            }
            stepsBefore.clear();
        };
    }

    @Override
    protected void freePlans() {
        if (step != null) { // not before the first group has been added
            step.close();
        }
    }
}
