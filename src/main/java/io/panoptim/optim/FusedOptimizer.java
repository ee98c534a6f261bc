package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Column;
import io.panoptim.engine.Control;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Graph;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.RuleSums;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Optimizers whose step is one rule over one table: one pass over memory, or two where the rule takes sums first. A subclass
 * says which rule, how many state slots, and the formulas of a row's scalars: one of the library's, or a user's own with his
 * own rule ({@link Rule#define}, {@link Rule#load}).
 *
 * <p>State is allocated when a parameter first has a gradient. Parameters of one group with the same history (step count
 * and the like) form a class and share a row; those that miss a step get a class of their own.
 *
 * @param <O> the options
 */
public abstract class FusedOptimizer<O extends Record> extends Optimizer {
    /** Where a history has the number of steps taken, unless {@link #numbers} says otherwise. */
    protected static final int STEP = 0;

    private static final long NEVER = -1;

    private static final Reduction GRADIENT_NORM = Reduction.norm(Column.GRADIENT, 2);

    /** The count of steps, as the sources call it whose optimizers share something among all tensors. */
    private static final String UPDATES = "k";

    /** The same where it is what stochastic rounding starts from. */
    private static final String ROUNDING_STEP = "rounding_step";

    /**
     * What is kept of steps besides the options, as the last one left it and as the coming one will: a group's, whichever of its
     * parameters took part, or a class's.
     */
    private static class History {
        final ParamGroup group;
        double[] history;
        double[] next;

        History(ParamGroup group, double[] history) {
            this.group = group;
            this.history = history.clone();
            this.next = history.clone();
        }

        void advance() {
            double[] before = history;
            history = next;
            next = before;
        }
    }

    /** Parameters that share a group and a history of their own, and so a row. */
    private static final class ScalarClass extends History {
        /** Whether its parameters have sparse gradients. */
        final boolean sparse;
        /** Whether there is state to be shown: before the first step there is none, whatever has been allocated. */
        boolean stepped;

        ScalarClass(ParamGroup group, boolean sparse, double[] history, boolean stepped) {
            super(group, history);
            this.sparse = sparse;
            this.stepped = stepped;
        }

        @Override
        void advance() {
            super.advance();
            stepped = true;
        }
    }

    /** One place in memory that is optimized. */
    static final class Entry extends Tied {
        final ParamGroup group;
        final long id;
        /** By torch's keys: what a slot holds depends on the options. */
        final Map<String, Tensor> states = new LinkedHashMap<>();
        /** Those that its elements share, one after the other. */
        @Nullable Tensor shared;
        /** What rides along with its updates, by column. */
        final Map<Integer, Tensor> carried = new LinkedHashMap<>();
        @Nullable Tensor gradient;
        boolean sparse;
        /** The rows that step without a gradient too: {@link Sparse#moving}. */
        @Nullable Tensor moving;
        /** Whether these are the rows that had a gradient in an earlier step. */
        boolean reached;
        @Nullable ScalarClass scalarClass;
        int index = Table.ABSENT;
        int row;

        Entry(String name, ParamGroup group, long id) {
            super(name);
            this.group = group;
            this.id = id;
        }

        /** A state that has been allocated. */
        Tensor state(String key) {
            return Objects.requireNonNull(states.get(key), key);
        }

        boolean hasStepped() {
            return scalarClass != null && scalarClass.stepped;
        }
    }

    /** The keys of a group's slots as the table has them. */
    private record Slots(ParamGroup group, List<String> keys) {}

    private record ClassKey(ParamGroup group, boolean present, boolean sparse, boolean stepped, List<Double> history) {}

    /**
     * How an optimizer uses a sparse gradient.
     *
     * @param rule of its rows, with the state slots of the optimizer's own rule
     * @param negated whether the gradient is that of something to be maximized
     * @param summed whether what repeated indices have is added up before it is used; else it is used one after another
     * @param moving which rows step without a gradient too
     */
    protected record Sparse(Rule rule, boolean negated, boolean summed, Moving moving) {}

    /** Rows that step without a gradient too, because of their state. */
    protected enum Moving {
        NONE,
        /** Those that had one in an earlier step. */
        REACHED,
        ALL
    }

    private final Rule rule;
    private final TiedParameters<Entry> parameters = new TiedParameters<>();
    private final List<Entry> entries = parameters.all();
    private final FusedStates states;
    private final List<History> groupHistories = new ArrayList<>();
    private final Map<ParamGroup, History> historyByGroup = new IdentityHashMap<>();
    private @Nullable Table table;
    private @Nullable Graph graph;
    private @Nullable PairPass pairs;
    /** Whether a parameter has got a class outside a step. */
    private boolean ungrouped;
    private List<Slots> slotsInTable = List.of();
    private ScalarClass[] classes = {};
    /** Those of the last step with statistics. */
    private ScalarClass[] statisticClasses = {};
    /** The last extras that were asked for, and with them what follows from the storage. */
    private @Nullable Extras asked;
    private Extras storedWith = Extras.NONE;
    private Rows rows = new Rows(1);
    private StepContext context = StepContext.ALONE;
    /** Whether other tensors ride along than those in the table. */
    private boolean carriedAnew;
    /** Whether any parameter is a slice. */
    private boolean sliced;
    private boolean anySparse;
    /** {@link ParamGroup#gradientChanges} when all gradients were last looked up. */
    private long lookedUp = NEVER;
    private long updates;
    /** Of the last step, if histories do not follow it yet. */
    private Control.@Nullable Outcome outcome;
    /** Whether that one had parameters. */
    private boolean stepping;
    /** Whether rows are computed only to see if that is refused. */
    private boolean checking;
    private final Runnable beforeStepping = () -> {
        settle();
        advanceGroups();
        synchronize();
    };
    private final Runnable beforeMeasuring = () -> {
        beforeStepping.run();
        checkDense("measure");
    };

    /** An optimizer of one group. */
    @SuppressWarnings("this-escape") // adding a group calls nothing that a subclass can override
    protected FusedOptimizer(Engine engine, OptionSchema<O> schema, Rule rule, List<Parameter> parameters, O options) {
        super(engine, schema);
        engine.checkRule(rule);
        this.rule = rule;
        this.states = new FusedStates(this, rule);
        add(parameters, options);
    }

    /** Adds a group with options of its own. */
    public void addParamGroup(List<Parameter> parameters, O options) {
        add(parameters, options);
    }

    /** The rule that a step carries out; one that changes with the options keeps its states. */
    public Rule rule() {
        return rule;
    }

    /** What a row is computed from besides the options, for a parameter that has taken no step yet. */
    protected double[] initialHistory(ParamGroup group) {
        return new double[1];
    }

    /** The same where it depends on the parameter: those of a group that differ in it have rows of their own. */
    protected double[] initialHistory(ParamGroup group, Parameter parameter) {
        return initialHistory(group);
    }

    /** What a group keeps of its steps besides its options, before the first one: nothing by default. */
    protected double[] initialGroupHistory() {
        return new double[0];
    }

    /**
     * Computes from a group's history the one after this step: once a step, before any row, and whether or not its parameters
     * have gradients. Or refuses the step.
     */
    protected void advance(ParamGroup group, double[] history, double[] next) {}

    /** A group's history as the last step left it. */
    protected final double[] groupHistory(ParamGroup group) {
        settle();
        return kept(group).history;
    }

    /** A group's history as this step leaves it, for the rows of its classes. */
    protected final double[] nextGroupHistory(ParamGroup group) {
        return kept(group).next;
    }

    /** What a state slot holds before the first step. */
    protected double initialState(ParamGroup group, int slot) {
        return 0;
    }

    /** Whether a state slot holds the parameter's value, instead, before the first step. */
    protected boolean beginsAsValue(ParamGroup group, int slot) {
        return false;
    }

    /** What a state that elements share holds before the first step; those of all tensors are the first group's. */
    protected double initialSharedState(ParamGroup group, String key) {
        return 0;
    }

    /** Whether a group's options use a state that elements share: otherwise it is there, but not shown. */
    protected boolean showsSharedState(ParamGroup group, String key) {
        return true;
    }

    /** How many rows a parameter has for a rule that takes sums over rows: by default its first dimension, if it has several. */
    protected long rows(ParamGroup group, Parameter parameter) {
        long[] shape = parameter.value().shape();
        return shape.length < 2 || parameter.value().elements() == 0 ? 1 : shape[0];
    }

    /** torch's key of a state slot. */
    protected String stateKey(ParamGroup group, int slot) {
        return rule.states().get(slot);
    }

    /** Whether, as in torch's Adagrad, a parameter has state from the moment it is added. */
    protected boolean hasStateFromTheStart() {
        return false;
    }

    /** The next value of a step count, which torch keeps in float32. */
    protected static double next(double step) {
        return (float) (step + 1);
    }

    /**
     * Called in each step for which there is a gradient, before its rows are computed; may refuse it. Also called, as the rows are computed,
     * when it is only to be found out whether a step is refused.
     */
    protected void beforeStep() {}

    /**
     * The norm of all gradients of the coming step, unscaled and clipped if they are, added up in float64. Waits for the device, if it
     * is another than the CPU. 0 where a step is only checked, for which nothing is to be waited for.
     */
    protected final double gradientNorm() {
        if (sliced) {
            throw PanoptimException.unsupported(name() + ".step", "it goes by the norm of all gradients, and some parameters are slices");
        }
        return table == null || checking ? 0 : engine().reduce(table, GRADIENT_NORM, stream()).get() * context.gradientFactor();
    }

    /** How many steps there were with a gradient for some parameter. */
    protected final long updates() {
        return updates;
    }

    /** How many of the rule's state slots a group's options need. */
    protected abstract int slots(ParamGroup group);

    /** Computes one row, and from a class's history the history after this step. */
    protected abstract void row(ParamGroup group, double[] history, double[] next, Rows rows, int row);

    /**
     * How parameters with a history use sparse gradients.
     *
     * @throws PanoptimException when they cannot
     */
    protected Sparse sparse(ParamGroup group, double[] history) {
        throw PanoptimException.unsupported(name(), name() + " does not support sparse gradients");
    }

    /** Computes one row of the sparse gradients' rule, as {@link #row} does. */
    protected void sparseRow(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        row(group, history, next, rows, row);
    }

    /** The entries of the state that are numbers: where a history has them. By default {@code step} at {@link #STEP}. */
    protected Map<String, Integer> numbers() {
        return Map.of("step", STEP);
    }

    /**
     * The keys of states that may have been allocated without having been filled: where a history says that they have been, by another
     * number than 0; 1 or, if only in the rows that sparse gradients have reached, 2. Until then they are not shown.
     */
    protected Map<String, Integer> filled() {
        return Map.of();
    }

    /** What is saved of a group's history: where it has which entry. */
    protected Map<String, Integer> groupNumbers() {
        return Map.of();
    }

    /** One of those entries as its source has it. */
    protected Object groupNumber(String key, double value) {
        return value;
    }

    /** The type of one of those numbers: float32, as torch has it, unless the source has another. */
    protected DType numberType(String key) {
        return DType.FLOAT32;
    }

    @Override
    protected final void added(ParamGroup group) {
        parameters.add(group, paramGroups().indexOf(group), (name, parameter, id) -> new Entry(name, group, id));
        lookedUp = NEVER;
        sliced |= group.params().stream().anyMatch(Parameter::isSlice);
    }

    private History kept(ParamGroup group) {
        History kept = historyByGroup.get(group);
        if (kept == null) {
            kept = new History(group, initialGroupHistory());
            historyByGroup.put(group, kept);
            groupHistories.add(kept);
        }
        return kept;
    }

    /** Rules that take sums do so over whole tensors; those that do on a condition are asked when they step, unless they know rows. */
    @Override
    protected boolean takesSlices() {
        RuleSums sums = rule.sums();
        return sums == null || sums.flag() != 0 && sums.over() != RuleSums.Over.ROW;
    }

    @Override
    protected final boolean decaysIndependently() {
        return true;
    }

    @Override
    public final long stateBytes() {
        return states.bytes(entries);
    }

    /**
     * Captures a step as the parameters and their gradients lie now, without taking it: from now on steps replay it, on
     * {@link #stream()}, which must not be the device's default. Options, schedulers and step counts go on as ever; but a step for
     * which a gradient has moved, come or gone is refused, until it is captured again or {@link #releaseCapture()} is called. States
     * must have been allocated before: take one step first.
     *
     * @throws PanoptimException when the engine has no graphs, gradients are sparse, or there is nothing to step
     */
    public final void captureStep() {
        change("captureStep", () -> {
            dropGraph();
            beforeStepping.run();
            Check.check(table != null && classes.length > 0 && !anySparse, name() + ".captureStep",
                    "there is no step with dense gradients only to be captured");
            fillRows();
            Table captured = Objects.requireNonNull(table);
            graph = engine().capture(stream(), () -> engine().step(captured, rows, null, stored(Extras.NONE), stream()));
        });
    }

    /** In how many bits values and states are kept: as torch does unless another way was set. */
    public final Storage storage() {
        return states.storage();
    }

    /**
     * Says in how many bits values and states are to be kept: before the first step, and before a state dictionary is loaded.
     *
     * <p>Where there is more of a value than itself, the steps go on from that and write the value: what else changes it between two
     * steps is lost. Sparse gradients go with plain values and states that are neither quantised nor flushed.
     *
     * @throws PanoptimException when there is state already, or a parameter's type or the rule does not go with it
     */
    public final void storage(Storage storage) {
        change("storage", () -> {
            String call = name() + ".storage";
            Check.check(entries.stream().allMatch(entry -> entry.states.isEmpty() && entry.scalarClass == null), call,
                    "there is state already, stored as " + storage() + ": set the storage before the first step");
            boolean quantizes = IntStream.range(0, rule.states().size()).anyMatch(rule::isQuantizable);
            if (storage.states().isQuantized() && !quantizes) {
                throw PanoptimException.unsupported(call, "none of the states " + rule.states() + " of " + rule + " can be quantised");
            }
            if (storage.values().hasMore() && movesValues()) {
                throw PanoptimException.unsupported(call, name() + " changes values outside its steps, too, which " + storage.values()
                        + " would undo");
            }
            entries.forEach(entry -> storage.check(name(), entry.name, entry.value().dtype()));
            states.storage(storage);
            asked = null;
        });
    }

    /** Whether values are changed by something else than steps. */
    protected boolean movesValues() {
        return false;
    }

    private boolean isStochastic() {
        return storage().values() == Storage.Values.STOCHASTIC;
    }

    /** What else a step does because of how values and states are stored. */
    private Extras stored(Extras extras) {
        if (!extras.equals(asked)) {
            Extras flushed = storage().flushSubnormal() ? extras.with(Extras.Part.FLUSH_SUBNORMAL) : extras;
            storedWith = isStochastic() ? flushed.with(Extras.Part.STOCHASTIC) : flushed;
            asked = extras;
        }
        return storedWith;
    }

    /** Lets steps be taken without the captured graph again; does nothing if there is none. */
    public final void releaseCapture() {
        change("releaseCapture", this::dropGraph);
    }

    private void dropGraph() {
        if (graph != null) {
            graph.close();
            graph = null;
        }
    }

    private void fillRows() {
        for (int i = 0; i < classes.length; i++) {
            if (classes[i].sparse) {
                sparseRow(classes[i].group, classes[i].history, classes[i].next, rows, i);
            } else {
                row(classes[i].group, classes[i].history, classes[i].next, rows, i);
            }
            rows.keep(i, 1 - classes[i].group.independentWeightDecay());
            rows.average(i, context.averageWeight());
            rows.noise(i, isStochastic() ? storage().noise(updates) : context.noise());
        }
    }

    @Override
    protected final void update() {
        update(StepContext.ALONE);
    }

    @Override
    final boolean update(StepContext given) {
        beforeStepping.run();
        boolean carrying = given.extras().flags() != 0;
        if (carrying) {
            checkUncaptured("step");
            checkDense("step");
        }
        Control.Outcome coming = given.outcome();
        boolean skipped = coming.isKnown() && coming.skipped();
        stepping = graph != null || table != null && classes.length > 0;
        if (stepping) {
            context = given;
            if (!skipped) {
                beforeStep();
                fillRows();
                checkSlicesUnsummed();
            }
            if (graph != null) {
                graph.replay(stream());
            } else if (anySparse) {
                stepRows(Objects.requireNonNull(table));
            } else {
                engine().step(table, rows, given.control(), stored(given.extras()), stream());
            }
        }
        if (!coming.isKnown()) {
            outcome = coming;
        } else if (!skipped) {
            advanceHistories();
        }
        return coming.isKnown() && !skipped;
    }

    @Override
    final void settle() {
        if (outcome != null) {
            boolean skipped = outcome.skipped();
            outcome = null;
            if (!skipped) {
                advanceHistories();
                tookPlace();
            }
        }
    }

    /** The last step took place. */
    private void advanceHistories() {
        if (stepping) {
            statisticClasses = context.extras().has(Extras.Part.STATISTICS) ? classes : statisticClasses;
            for (int i = 0; i < classes.length; i++) {
                classes[i].advance();
            }
            updates++;
        }
        for (int i = 0; i < groupHistories.size(); i++) {
            groupHistories.get(i).advance();
        }
    }

    /** Refuses a step that takes sums over tensors of which only slices are there. */
    private void checkSlicesUnsummed() {
        RuleSums sums = rule().sums();
        if (sliced && sums != null && sums.isAskedByAny(rows, classes.length)) {
            throw PanoptimException.unsupported(name() + ".step", "its options ask for sums over whole tensors, and some parameters are slices");
        }
    }

    private void checkUncaptured(String verb) {
        if (graph != null) {
            throw PanoptimException.invalid(name() + "." + verb, "a captured step cannot carry anything else: call releaseCapture() first");
        }
    }

    private void checkDense(String verb) {
        if (anySparse) {
            throw PanoptimException.unsupported(name() + "." + verb, "sparse gradients are not measured, clipped or unscaled: make them dense");
        }
    }

    /** Rows and histories to come are computed again by the step itself. */
    @Override
    protected final void checkUpdate(boolean skipsOverflow) {
        beforeStepping.run();
        if (table != null && classes.length > 0) {
            checking = true;
            try {
                beforeStep();
                fillRows();
                checkSlicesUnsummed();
            } finally {
                checking = false;
            }
            table.checkAccessible(name() + ".step");
        }
    }

    /** Refuses a step that cannot be taken, or cannot carry what it is to carry. */
    final void checkReady(StepContext given) {
        checkReady(true);
        if (given.extras().flags() != 0) {
            checkUncaptured("step");
            checkDense("step");
        }
    }

    /** The table of the coming step's gradients, if there is one. */
    final @Nullable Table gradientTable() {
        change("measure", beforeMeasuring);
        return table;
    }

    /** Adds to groups' sums of squares those of the last step with statistics. */
    final void addStatistics(Map<ParamGroup, double[]> sums) {
        settle();
        if (table != null) {
            double[] all = table.statistics();
            for (int i = 0; i < statisticClasses.length; i++) {
                double[] sum = sums.get(statisticClasses[i].group);
                for (int j = 0; j < sum.length; j++) {
                    sum[j] += all[i * sum.length + j];
                }
            }
        }
    }

    /** Lets nothing ride along in a column any more: possible after a fault, too. A captured step has to be captured again then. */
    final void release(int column) {
        entries.forEach(entry -> entry.carried.remove(column));
        carriedAnew = true;
    }

    /** Lets tensors ride along with parameters' updates, in place of those that the column had. */
    final void carry(int column, Map<Parameter, Tensor> tensors) {
        change("carry", () -> {
            checkUncaptured("carry");
            for (Entry entry : entries) {
                entry.carried.remove(column);
                entry.parameters.stream().filter(tensors::containsKey).findFirst()
                        .ifPresent(parameter -> entry.carried.put(column, tensors.get(parameter)));
            }
            carriedAnew = true;
        });
    }

    private void advanceGroups() {
        if (groupHistories.size() < paramGroups().size()) {
            paramGroups().forEach(this::kept);
        }
        for (int i = 0; i < groupHistories.size(); i++) {
            History kept = groupHistories.get(i);
            advance(kept.group, kept.history, kept.next);
        }
    }

    /** What is optimized, in the order in which it was added, after all steps so far. */
    final List<Entry> entries() {
        settle();
        return entries;
    }

    /** Refuses a sparse gradient as a step does. */
    final void checkSparse(Entry entry) {
        if (sparseGradient(entry) != null) {
            sparse(entry.group, history(entry));
        }
    }

    /** Gives a parameter the state that it would get in its first step. */
    final void allocate(Entry entry) {
        states.of(entry);
    }

    /** Shows a parameter's state, which something else than a step has changed. */
    final void begin(Entry entry) {
        settle();
        ScalarClass before = entry.scalarClass;
        if (before == null || !before.stepped) {
            entry.scalarClass = new ScalarClass(entry.group, entry.sparse, history(entry), true);
            ungrouped = true;
        }
    }

    /** A rule's passes over pairs of tensors outside the step. */
    final PairPass pairs(Rule passing) {
        if (pairs == null) {
            pairs = new PairPass(engine(), passing, this::stream);
        }
        return pairs;
    }

    @Override
    protected final Map<String, Tensor> stateOf(Parameter parameter) {
        settle();
        Entry entry = parameters.of(this, parameter);
        if (entry.scalarClass == null && hasStateFromTheStart()) {
            states.of(entry);
            entry.scalarClass = firstClass(entry);
            lookedUp = NEVER;
        }
        return entry.hasStepped() ? states.shown(entry, history(entry)) : new LinkedHashMap<>();
    }

    @Override
    protected final void free() {
        dropGraph();
        if (table != null) {
            table.close();
        }
        if (pairs != null) {
            pairs.close();
        }
        states.close();
    }

    /** Brings the table up to date with the parameters' gradients; does nothing when nothing has changed. */
    private void synchronize() {
        boolean rebuild = carriedAnew || slotsChanged() || table != null && table.rule() != rule();
        boolean regroup = ungrouped;
        long changes = ParamGroup.gradientChanges(); // before the look-up: what changes meanwhile is looked up again
        if (!rebuild && !regroup && !anySparse && changes == lookedUp) {
            return;
        }
        lookedUp = NEVER;
        anySparse = false;
        Map<Integer, @Nullable Tensor> moved = Map.of();
        for (int i = 0; i < entries.size(); i++) {
            Entry entry = entries.get(i);
            Tensor gradient = gradient(entry);
            boolean sparse = gradient == null && sparseGradient(entry) != null;
            if (sparse) {
                sparse(entry.group, history(entry));
                Check.check(!isStochastic() && !storage().flushSubnormal(), name(), "sparse gradients leave most rows as they are: they do "
                        + "not go with " + storage());
                Check.check(entry.group.independentWeightDecay() == 0, name(), "independent_weight_decay does not go with sparse "
                        + "gradients, which leave the other rows as they are");
                anySparse = true;
            }
            rebuild |= entry.index == Table.ABSENT && (gradient != null || sparse || entry.scalarClass != null);
            regroup |= sparse != entry.sparse;
            if (gradient != entry.gradient && entry.index != Table.ABSENT) {
                moved = moved.isEmpty() ? new HashMap<>() : moved;
                moved.put(entry.index, gradient);
                regroup |= gradient == null || entry.gradient == null;
            }
        }
        if (rebuild) {
            rebuild();
        } else if (table != null) {
            if (!moved.isEmpty()) {
                table.point(Column.GRADIENT, moved);
                entries.forEach(entry -> entry.gradient = gradient(entry));
            }
            if (regroup) {
                regroup(table);
            }
        }
        lookedUp = changes;
    }

    @Override
    final Map<String, @Nullable Object> savedState(Parameter parameter) {
        Map<String, Tensor> shown = stateOf(parameter);
        return shown.isEmpty() ? new LinkedHashMap<>() : states.saved(parameters.of(this, parameter), shown);
    }

    /** A group's history and, as their sources have it, what all tensors share, with the count of steps. */
    @Override
    protected final void saveGroup(ParamGroup group, Map<String, @Nullable Object> saved) {
        settle();
        groupNumbers().forEach((key, place) -> saved.put(key, groupNumber(key, groupHistory(group)[place])));
        Map<String, Double> shared = states.savedOfEveryTensors();
        if (!shared.isEmpty()) {
            saved.put(UPDATES, updates);
            saved.putAll(shared);
        }
        if (isStochastic()) {
            saved.put(ROUNDING_STEP, updates);
        }
        states.saveFormat(saved);
    }

    @Override
    protected final Set<String> savedOfGroups() {
        Set<String> keys = new HashSet<>(groupNumbers().keySet());
        keys.add(FusedStates.FORMAT);
        keys.add(ROUNDING_STEP);
        if (states.isGlobal()) {
            keys.add(UPDATES);
            keys.addAll(rule.sharedStates());
        }
        return keys;
    }

    @Override
    final Runnable prepareState(StateDict dict) {
        settle();
        FusedStates.Loaded loaded = states.load(dict, parameters);
        try {
            List<double[]> histories = dict.groups.stream().map(this::restoreGroup).toList();
            StateDict.Saved first = dict.groups.getFirst();
            String counted = states.isGlobal() ? UPDATES : ROUNDING_STEP;
            long count = first.get(counted) != null ? (long) first.number(this, counted) : 0;
            return () -> replace(loaded, histories, count);
        } catch (RuntimeException | Error refused) {
            loaded.memory().close();
            throw refused;
        }
    }

    private double[] restoreGroup(StateDict.Saved saved) {
        double[] history = initialGroupHistory();
        groupNumbers().forEach((key, place) -> {
            if (saved.get(key) != null) {
                history[place] = saved.number(this, key);
            }
        });
        return history;
    }

    private void replace(FusedStates.Loaded loaded, List<double[]> histories, long count) {
        states.replace(loaded, entries);
        if (table != null) {
            table.close();
            table = null;
        }
        if (pairs != null) {
            pairs.close();
            pairs = null;
        }
        lookedUp = NEVER;
        slotsInTable = List.of();
        classes = new ScalarClass[0];
        updates = count;
        for (Entry entry : entries) {
            double[] history = loaded.history(entry);
            entry.scalarClass = history == null ? null : new ScalarClass(entry.group, false, history, true);
            entry.gradient = null;
            entry.sparse = false;
            entry.index = Table.ABSENT;
        }
        groupHistories.clear();
        historyByGroup.clear();
        for (int i = 0; i < histories.size(); i++) {
            History kept = new History(paramGroups().get(i), histories.get(i));
            groupHistories.add(kept);
            historyByGroup.put(kept.group, kept);
        }
    }

    private double[] history(Entry entry) {
        settle();
        return entry.scalarClass == null ? initialHistory(entry) : entry.scalarClass.history;
    }

    final double[] initialHistory(Entry entry) {
        return initialHistory(entry.group, entry.parameters.getFirst());
    }

    /** A step in which some gradients are sparse. */
    private void stepRows(Table current) {
        List<RowGradient> gradients = new ArrayList<>();
        @Nullable Rule rowRule = null;
        for (Entry entry : entries) {
            SparseGradient gradient = entry.sparse ? sparseGradient(entry) : null;
            if (gradient != null) {
                Sparse sparse = sparse(entry.group, history(entry));
                rowRule = sparse.rule;
                gradients.add(new RowGradient(entry.index, entry.row, gradient, sparse.negated, sparse.summed,
                        sparse.moving == Moving.NONE ? null : states.moving(entry, sparse.moving)));
            }
        }
        engine().stepRows(current, Objects.requireNonNull(rowRule), gradients, rows, null, Extras.NONE, stream());
    }

    /** Whether options have changed that say which state a group needs. */
    private boolean slotsChanged() {
        for (int i = 0; i < slotsInTable.size(); i++) {
            ParamGroup group = slotsInTable.get(i).group;
            List<String> keys = slotsInTable.get(i).keys;
            boolean changed = slots(group) != keys.size();
            for (int slot = 0; slot < keys.size() && !changed; slot++) {
                changed = !keys.get(slot).equals(stateKey(group, slot));
            }
            if (changed) {
                return true;
            }
        }
        return false;
    }

    /** A parameter's gradient, of which tied ones have one. */
    final @Nullable Tensor gradient(Entry entry) {
        return entry.group.isFrozen() ? null : entry.gradientNow(name());
    }

    private @Nullable SparseGradient sparseGradient(Entry entry) {
        return entry.group.isFrozen() ? null : entry.sparseGradientNow(name());
    }

    /** Builds the table of all parameters that have state, or now get it; none of them moves if one is refused. */
    private void rebuild() {
        List<Entry> members = new ArrayList<>();
        List<TensorEntry> topology = new ArrayList<>();
        for (Entry entry : entries) {
            Tensor gradient = gradient(entry);
            boolean sparse = gradient == null && sparseGradient(entry) != null;
            if (gradient != null || sparse || entry.scalarClass != null || hasStateFromTheStart()) {
                states.checkShared(entry);
                members.add(entry);
                List<Tensor> own = states.of(entry);
                topology.add(new TensorEntry(entry.name, entry.value(), gradient, own, states.others(entry), entry.origin(), 0,
                        entry.value().elements(), entry.id, rows(entry.group, entry.parameters.getFirst()), states.codes(entry)));
            }
        }
        Table built = engine().table(rule(), topology);
        carriedAnew = false;
        if (table != null) {
            table.close();
        }
        table = built;
        slotsInTable = paramGroups().stream().map(group -> new Slots(group, states.keys(group))).toList();
        for (int i = 0; i < members.size(); i++) {
            Entry entry = members.get(i);
            entry.index = i;
            entry.gradient = topology.get(i).gradient();
            if (entry.scalarClass == null) {
                entry.scalarClass = firstClass(entry);
            }
        }
        regroup(built);
    }

    private ScalarClass firstClass(Entry entry) {
        return new ScalarClass(entry.group, false, initialHistory(entry), hasStateFromTheStart());
    }

    /** Gives each present parameter the row of its group and history. */
    private void regroup(Table current) {
        Map<ClassKey, ScalarClass> merged = new HashMap<>();
        Map<ScalarClass, Integer> present = new LinkedHashMap<>();
        int[] assigned = new int[current.size()];
        for (Entry entry : entries) {
            if (entry.scalarClass != null) {
                ScalarClass before = entry.scalarClass;
                entry.sparse = entry.gradient == null && sparseGradient(entry) != null;
                boolean stepping = entry.gradient != null || entry.sparse;
                entry.scalarClass = merged.computeIfAbsent(new ClassKey(entry.group, stepping, entry.sparse, before.stepped,
                                Arrays.stream(before.history).boxed().toList()),
                        key -> new ScalarClass(entry.group, entry.sparse, before.history, before.stepped));
                if (stepping) {
                    present.putIfAbsent(entry.scalarClass, present.size());
                    entry.row = present.get(entry.scalarClass);
                }
                assigned[entry.index] = entry.gradient != null ? entry.row : Table.ABSENT;
            }
        }
        current.classes(assigned);
        ungrouped = false;
        classes = present.keySet().toArray(ScalarClass[]::new);
        if (rows.count() < classes.length) {
            rows = new Rows(classes.length);
        }
    }
}
