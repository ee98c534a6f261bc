package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.function.DoubleSupplier;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Limited-memory BFGS, as {@code torch.optim.LBFGS}: quasi-Newton steps from the last gradients, optionally with a line search.
 *
 * <p>Each {@link #step(DoubleSupplier)} takes up to {@code max_iter} iterations and evaluates its closure up to {@code max_eval} times
 * and a few; there is no step without a closure. A parameter without a gradient counts as one whose gradient is zero, and so does a
 * row that a sparse gradient does not have. There is one parameter group. If the closure throws after the first evaluation, the parameters stay where it was evaluated.
 *
 * <p>Every operation is torch's, in torch's order, but for sums: torch's dot product depends on the alignment of memory and on
 * threads, while these have the same bits on every engine, for any number of threads and any order of the parameters. Scalars (step
 * length, curvature, slope) are float64 whatever the parameters' type; torch keeps them in that type. So what is equal is the number
 * of iterations and evaluations and, in float64, the trajectory, up to rounding that the iterations amplify.
 *
 * <p>State, of the first parameter only: {@code func_evals}, {@code n_iter}, {@code d}, {@code t}, {@code ro}, {@code H_diag},
 * {@code prev_flat_grad}, {@code prev_loss}, {@code al} (of the last iteration), and the lists {@code old_dirs.0}, {@code old_dirs.1},
 * … and {@code old_stps.0}, …, the oldest first. The flat ones hold all parameters one after the other, each in memory order, in their
 * type; where parameters of several types do not have float64 among them, in float32.
 *
 * @see <a href="https://docs.pytorch.org/docs/stable/generated/torch.optim.LBFGS.html">torch.optim.LBFGS</a>
 */
public final class LBFGS extends Optimizer {
    /** How the length of a step is found. */
    public enum LineSearch {
        /** The learning rate. */
        NONE,
        /** Cubic interpolation until the strong Wolfe conditions hold. */
        STRONG_WOLFE
    }

    /**
     * The options, with torch's names and defaults.
     *
     * @param lr learning rate: the length of a step or, with a line search, the first one tried; at least 0
     * @param maxIter the most iterations in a step
     * @param maxEval after how many evaluations a step ends; by default a quarter more than {@code maxIter}
     * @param toleranceGrad a step ends when no gradient is larger
     * @param toleranceChange a step ends when neither a parameter nor the loss changes by more
     * @param historySize how many earlier gradients and steps are kept, at least 1
     * @param lineSearchFn how the length of a step is found
     */
    public record Options(double lr, int maxIter, OptionalInt maxEval, double toleranceGrad, double toleranceChange, int historySize,
                          LineSearch lineSearchFn) {
        /** Refuses what is out of range, where torch checks it in torch's words. */
        public Options {
            Check.lr("LBFGS", lr);
            Check.atLeastZero("LBFGS", "max_iter", maxIter);
            Check.atLeastZero("LBFGS", "max_eval", maxEval.orElse(0));
            Check.aNumber("LBFGS", "tolerance_grad", toleranceGrad);
            Check.aNumber("LBFGS", "tolerance_change", toleranceChange);
            Check.check(historySize >= 1, "LBFGS", "Invalid history_size value: " + historySize);
        }

        /** torch's defaults. */
        public static Options defaults() {
            return new Options(1, 20, OptionalInt.empty(), 1e-7, 1e-9, 100, LineSearch.NONE);
        }

        public Options withLr(double newLr) {
            return new Options(newLr, maxIter, maxEval, toleranceGrad, toleranceChange, historySize, lineSearchFn);
        }

        public Options withMaxIter(int newMaxIter) {
            return new Options(lr, newMaxIter, maxEval, toleranceGrad, toleranceChange, historySize, lineSearchFn);
        }

        public Options withMaxEval(int newMaxEval) {
            return new Options(lr, maxIter, OptionalInt.of(newMaxEval), toleranceGrad, toleranceChange, historySize, lineSearchFn);
        }

        public Options withToleranceGrad(double newToleranceGrad) {
            return new Options(lr, maxIter, maxEval, newToleranceGrad, toleranceChange, historySize, lineSearchFn);
        }

        public Options withToleranceChange(double newToleranceChange) {
            return new Options(lr, maxIter, maxEval, toleranceGrad, newToleranceChange, historySize, lineSearchFn);
        }

        public Options withHistorySize(int newHistorySize) {
            return new Options(lr, maxIter, maxEval, toleranceGrad, toleranceChange, newHistorySize, lineSearchFn);
        }

        public Options withLineSearchFn(LineSearch newLineSearchFn) {
            return new Options(lr, maxIter, maxEval, toleranceGrad, toleranceChange, historySize, newLineSearchFn);
        }

        /** As torch's constructor does it, before there is a group. */
        private Options resolved() {
            return maxEval.isPresent() ? this : withMaxEval((int) Math.min(Integer.MAX_VALUE, maxIter * 5L / 4));
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("LBFGS", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int MAX_ITER = SCHEMA.index("max_iter");
    private static final int MAX_EVAL = SCHEMA.index("max_eval");
    private static final int TOLERANCE_GRAD = SCHEMA.index("tolerance_grad");
    private static final int TOLERANCE_CHANGE = SCHEMA.index("tolerance_change");
    private static final int HISTORY_SIZE = SCHEMA.index("history_size");
    private static final int LINE_SEARCH_FN = SCHEMA.index("line_search_fn");

    /** The least product of two differences that enters the history. */
    private static final double LEAST_CURVATURE = 1e-10;

    private final ParamGroup group;
    private LbfgsVectors vectors;
    private long funcEvals;
    private long iterations;
    private double t;
    private double hDiag = 1;
    private double prevLoss;
    private double[] al = {};

    /** An optimizer on the best engine for its device. */
    public LBFGS(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("LBFGS", parameters)), parameters, options);
    }

    /** An optimizer on a given engine. */
    public LBFGS(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA);
        add(parameters, options.resolved());
        group = paramGroups().getFirst();
        vectors = new LbfgsVectors(engine, this::stream, group.params());
    }

    @Override
    protected void added(ParamGroup added) {}

    @Override
    public boolean needsClosure() {
        return true;
    }

    @Override
    public long stateBytes() {
        return vectors.bytes((long) group.value(HISTORY_SIZE));
    }

    @Override
    protected void update() {
        throw PanoptimException.invalid("LBFGS.step", "a step evaluates the model several times: call step(closure)");
    }

    /** torch's step(), from the first evaluation on. */
    @Override
    protected void updateWith(double loss, DoubleSupplier closure) {
        Check.check(!group.isFrozen(), "LBFGS.step", "the only parameter group is frozen");
        int maxIter = (int) group.value(MAX_ITER);
        vectors.prepare((int) Math.min(group.value(HISTORY_SIZE), vectors.history().size() + (double) maxIter));
        vectors.gather(LbfgsVectors.GRADIENT);
        funcEvals++;
        if (vectors.absoluteMaximum(LbfgsVectors.GRADIENT) <= group.value(TOLERANCE_GRAD)) {
            return;
        }
        try {
            iterate(loss, closure, maxIter);
        } catch (PanoptimException refused) {
            throw refused.code() == Code.FAULT ? refused : new PanoptimException(Code.FAULT, "LBFGS.step",
                    "after some evaluations of the closure: " + refused.getMessage(), refused);
        }
    }

    private void iterate(double firstLoss, DoubleSupplier closure, int maxIter) {
        double toleranceChange = group.value(TOLERANCE_CHANGE);
        double loss = firstLoss;
        int evaluations = 1;
        for (int iteration = 1; iteration <= maxIter; iteration++) {
            iterations++;
            if (iterations == 1) {
                vectors.turnDownhill();
            } else {
                remember();
                direct();
            }
            vectors.keepGradient();
            prevLoss = loss;

            double lr = group.value(LR);
            t = iterations == 1 ? atMostOne(1 / vectors.absoluteSum(LbfgsVectors.GRADIENT)) * lr : lr;
            double slope = vectors.slope(LbfgsVectors.GRADIENT);
            if (slope > -toleranceChange) {
                return;
            }
            int before = evaluations;
            if (hasLineSearch()) {
                StrongWolfe search = new StrongWolfe((step, one, other) -> evaluate(closure, step, one, other),
                        new StrongWolfe.Point(0, loss, slope, LbfgsVectors.PREVIOUS), toleranceChange,
                        (int) group.value(MAX_EVAL) - evaluations);
                vectors.mark();
                StrongWolfe.Point best = search.search(t, vectors.absoluteMaximum(LbfgsVectors.DIRECTION));
                evaluations += search.evaluations();
                t = best.t();
                loss = best.loss();
                vectors.takeGradient(best.gradient());
                vectors.move(t);
            } else {
                vectors.move(t);
                if (iteration < maxIter) { // in the last iteration nobody asks for it
                    loss = closure.getAsDouble();
                    vectors.gather(LbfgsVectors.GRADIENT);
                    evaluations++;
                }
            }
            funcEvals += evaluations - before;

            if (iteration == maxIter || evaluations >= group.value(MAX_EVAL)
                    || vectors.absoluteMaximum(LbfgsVectors.GRADIENT) <= group.value(TOLERANCE_GRAD)
                    || vectors.absoluteMaximum(LbfgsVectors.DIRECTION) * Math.abs(t) <= toleranceChange
                    || Math.abs(loss - prevLoss) < toleranceChange) {
                return;
            }
        }
    }

    /** Python's {@code min(1., x)}. */
    private static double atMostOne(double x) {
        return x < 1 ? x : 1;
    }

    /** Adds the last step and what the gradient changed by in it to the history, if the function curves upwards there. */
    private void remember() {
        LbfgsVectors.Pair pair = vectors.change(t);
        double ys = pair.dot(LbfgsVectors.Pair.Y, LbfgsVectors.Pair.S);
        if (ys > LEAST_CURVATURE) {
            vectors.accept(1 / ys, (int) group.value(HISTORY_SIZE));
            hDiag = ys / pair.dot(LbfgsVectors.Pair.Y, LbfgsVectors.Pair.Y);
        }
    }

    /** The two loops that multiply the negative gradient with the approximate inverse Hessian. */
    private void direct() {
        List<LbfgsVectors.Pair> history = vectors.history();
        al = new double[history.size()];
        vectors.turnDownhill();
        for (int i = history.size() - 1; i >= 0; i--) {
            LbfgsVectors.Pair pair = history.get(i);
            al[i] = pair.dot(LbfgsVectors.Pair.S, LbfgsVectors.DIRECTION) * pair.ro();
            pair.addToDirection(-al[i], LbfgsVectors.Pair.Y);
        }
        vectors.scaleDirection(hDiag);
        for (int i = 0; i < history.size(); i++) {
            LbfgsVectors.Pair pair = history.get(i);
            double be = pair.dot(LbfgsVectors.Pair.Y, LbfgsVectors.DIRECTION) * pair.ro();
            pair.addToDirection(al[i] - be, LbfgsVectors.Pair.S);
        }
    }

    /** A point of the line search, whose gradient goes where those of two others are not. */
    private StrongWolfe.Point evaluate(DoubleSupplier closure, double step, StrongWolfe.Point one, StrongWolfe.Point other) {
        vectors.move(step);
        double loss = closure.getAsDouble();
        int gradient = LbfgsVectors.freeGradient(one.gradient(), other.gradient());
        vectors.gather(gradient);
        vectors.moveBack();
        return new StrongWolfe.Point(step, loss, vectors.slope(gradient), gradient);
    }

    private boolean hasLineSearch() {
        return group.value(LINE_SEARCH_FN) == LineSearch.STRONG_WOLFE.ordinal();
    }

    @Override
    protected Map<String, Tensor> stateOf(Parameter parameter) {
        if (!group.params().contains(parameter)) {
            throw PanoptimException.invalid("LBFGS.state", parameter + " is not one of this optimizer's");
        }
        Map<String, Tensor> state = new LinkedHashMap<>();
        if (parameter == group.params().getFirst() && funcEvals > 0) {
            state.put("func_evals", number(DType.INT64, funcEvals));
            state.put("n_iter", number(DType.INT64, iterations));
            if (iterations > 0) {
                List<LbfgsVectors.Pair> history = vectors.history();
                state.put("d", vectors.flat(LbfgsVectors.DIRECTION));
                state.put("t", number(t));
                for (int i = 0; i < history.size(); i++) {
                    state.put("old_dirs." + i, history.get(i).y());
                    state.put("old_stps." + i, history.get(i).s());
                }
                state.put("ro", numbers(history.stream().mapToDouble(LbfgsVectors.Pair::ro).toArray()));
                state.put("H_diag", number(hDiag));
                state.put("prev_flat_grad", vectors.flat(LbfgsVectors.PREVIOUS));
                state.put("prev_loss", number(prevLoss));
            }
            if (iterations > 1) {
                state.put("al", numbers(al));
            }
        }
        return state;
    }

    /** As torch saves it: what is a list or a number there is one. */
    @Override
    Map<String, @Nullable Object> savedState(Parameter parameter) {
        Map<String, @Nullable Object> saved = new LinkedHashMap<>();
        if (parameter != group.params().getFirst() || funcEvals == 0) {
            return saved;
        }
        saved.put("func_evals", funcEvals);
        saved.put("n_iter", iterations);
        if (iterations > 0) {
            List<LbfgsVectors.Pair> history = vectors.history();
            saved.put("d", vectors.flat(LbfgsVectors.DIRECTION));
            saved.put("t", t);
            saved.put("old_dirs", history.stream().map(LbfgsVectors.Pair::y).toList());
            saved.put("old_stps", history.stream().map(LbfgsVectors.Pair::s).toList());
            saved.put("ro", history.stream().map(LbfgsVectors.Pair::ro).toList());
            saved.put("H_diag", hDiag);
            saved.put("prev_flat_grad", vectors.flat(LbfgsVectors.PREVIOUS));
            saved.put("prev_loss", prevLoss);
        }
        if (iterations > 1) {
            saved.put("al", Arrays.stream(al).boxed().toList());
        }
        return saved;
    }

    @Override
    Runnable prepareState(StateDict loaded) {
        Parameter first = group.params().getFirst();
        loaded.states.forEach((parameter, saved) -> Check.check(parameter == first || saved.values().isEmpty(), loaded.call,
                saved.path() + " is not of the first parameter, which has the state of all"));
        StateDict.Saved saved = loaded.states.getOrDefault(first, new StateDict.Saved(loaded.call, "state[0]", Map.of()));
        boolean evaluated = !saved.values().isEmpty();
        long newFuncEvals = evaluated ? (long) saved.number(this, "func_evals") : 0;
        long newIterations = evaluated ? (long) saved.number(this, "n_iter") : 0;
        boolean begun = newIterations > 0;
        double newT = begun ? saved.number(this, "t") : 0;
        double newHDiag = begun ? saved.number(this, "H_diag") : 1;
        double newPrevLoss = begun ? saved.number(this, "prev_loss") : 0;
        LbfgsVectors fresh = new LbfgsVectors(engine(), this::stream, group.params());
        try {
            double[] newAl = newIterations > 1 ? numbers(saved, "al") : new double[0];
            if (begun) {
                restore(saved, fresh);
            }
            return () -> {
                vectors.close();
                vectors = fresh;
                funcEvals = newFuncEvals;
                iterations = newIterations;
                t = newT;
                hDiag = newHDiag;
                prevLoss = newPrevLoss;
                al = newAl;
            };
        } catch (RuntimeException | Error refused) {
            fresh.close();
            throw refused;
        }
    }

    private void restore(StateDict.Saved saved, LbfgsVectors fresh) {
        List<?> dirs = list(saved, "old_dirs");
        List<?> steps = list(saved, "old_stps");
        double[] ro = numbers(saved, "ro");
        if (steps.size() != dirs.size() || ro.length != dirs.size()) {
            throw saved.refusal("has " + dirs.size() + " old_dirs, " + steps.size() + " old_stps and " + ro.length + " ro: expected as "
                    + "many of each");
        }
        fresh.prepare(ro.length);
        StateDict.copy(this, saved.tensor("d", fresh.elements()), fresh.flat(LbfgsVectors.DIRECTION));
        StateDict.copy(this, saved.tensor("prev_flat_grad", fresh.elements()), fresh.flat(LbfgsVectors.PREVIOUS));
        for (int i = 0; i < ro.length; i++) {
            LbfgsVectors.Pair pair = fresh.next();
            StateDict.copy(this, element(saved, "old_dirs", dirs, i).tensor("" + i, fresh.elements()), pair.y());
            StateDict.copy(this, element(saved, "old_stps", steps, i).tensor("" + i, fresh.elements()), pair.s());
            fresh.accept(ro[i], ro.length);
        }
    }

    private static List<?> list(StateDict.Saved saved, String key) {
        if (saved.require(key) instanceof List<?> list) {
            return list;
        }
        throw saved.refusal(key, "expected a list, found " + saved.get(key));
    }

    /** A list's element, as an entry that its place names. */
    private static StateDict.Saved element(StateDict.Saved saved, String key, List<?> list, int i) {
        return new StateDict.Saved(saved.call(), saved.path() + "['" + key + "']",
                list.get(i) == null ? Map.of() : Map.of("" + i, list.get(i)));
    }

    /** Numbers, or tensors of one element; torch fills up some lists with {@code None}. */
    private double[] numbers(StateDict.Saved saved, String key) {
        List<?> list = list(saved, key);
        return IntStream.range(0, list.size()).filter(i -> list.get(i) != null)
                .mapToDouble(i -> element(saved, key, list, i).number(this, "" + i)).toArray();
    }

    private static Tensor number(double value) {
        return number(DType.FLOAT64, value);
    }

    private static Tensor number(DType dtype, double value) {
        Tensor number = Tensor.zeros(Arena.ofAuto(), dtype);
        number.set(0, value);
        return number;
    }

    private static Tensor numbers(double[] values) {
        Tensor numbers = Tensor.zeros(Arena.ofAuto(), DType.FLOAT64, values.length);
        for (int i = 0; i < values.length; i++) {
            numbers.set(i, values[i]);
        }
        return numbers;
    }

    @Override
    protected void free() {
        vectors.close();
    }
}
