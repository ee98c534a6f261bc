package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Stream;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.DoubleSupplier;
import org.jspecify.annotations.Nullable;

/**
 * What all optimizers have in common: parameter groups and torch's conventions around a step.
 *
 * <p>An optimizer owns its state, which {@link #close()} frees, and nothing else: parameters and gradients stay the
 * caller's and are updated where they lie. It may be used from any one thread at a time; other calls are refused. After a
 * step that failed half-way every call says so.
 */
public abstract class Optimizer implements AutoCloseable, Schedulable {
    /** Removes a hook; idempotent. */
    public interface Handle extends AutoCloseable {
        @Override
        void close();
    }

    /** Sees a state dictionary that has been made, or is to be loaded. */
    public interface StateDictHook {
        /**
         * Changes the dictionary, if it likes.
         *
         * @return another one in its place, or null
         */
        @Nullable Map<String, @Nullable Object> apply(Optimizer optimizer, Map<String, @Nullable Object> stateDict);
    }

    private static final Logger LOGGER = System.getLogger(Optimizer.class.getName());

    private final Engine engine;
    private final OptionSchema<?> schema;
    private final List<ParamGroup> groups;
    private final List<ParamGroup> groupsView;
    /** The thread in one of the calls. */
    private final AtomicReference<@Nullable Thread> user = new AtomicReference<>();
    /** Whether that thread is in the closure of a step; its alone to read. */
    private boolean evaluating;
    private final Hooks<Consumer<Optimizer>> stepPreHooks = new Hooks<>();
    private final Hooks<Consumer<Optimizer>> stepPostHooks = new Hooks<>();
    private final Hooks<Consumer<Optimizer>> stateDictPreHooks = new Hooks<>();
    private final Hooks<StateDictHook> stateDictPostHooks = new Hooks<>();
    private final Hooks<StateDictHook> loadStateDictPreHooks = new Hooks<>();
    private final Hooks<Consumer<Optimizer>> loadStateDictPostHooks = new Hooks<>();
    private @Nullable Throwable fault;
    private boolean closed;
    private long steps;
    private Stream stream = Stream.DEFAULT;
    private final @Nullable Optimizer wrapped;
    private final Runnable stepping = () -> {
        update();
        steps++;
    };
    private final Runnable checking = () -> checkUpdate(false);
    private final Runnable checkingWithoutOverflow = () -> checkUpdate(true);
    /** What the coming step is part of. */
    private StepContext context = StepContext.ALONE;
    private final Runnable steppingAsPart = () -> {
        if (update(context)) {
            steps++;
        }
    };

    /** An optimizer without groups: a subclass adds at least one. */
    protected Optimizer(Engine engine, OptionSchema<?> schema) {
        this.engine = engine;
        this.schema = schema;
        this.groups = new ArrayList<>();
        this.groupsView = Collections.unmodifiableList(groups);
        this.wrapped = null;
    }

    /** An optimizer around another one, with its groups: they are added there. */
    protected Optimizer(Optimizer wrapped) {
        this.engine = wrapped.engine;
        this.schema = wrapped.schema;
        this.groups = wrapped.groups;
        this.groupsView = wrapped.groupsView;
        this.wrapped = wrapped;
    }

    /** The name under which torch and this library know the optimizer. */
    public String name() {
        return getClass().getSimpleName();
    }

    public final Engine engine() {
        return engine;
    }

    public final List<ParamGroup> paramGroups() {
        return groupsView;
    }

    /**
     * A number of each group, for a scheduler.
     *
     * @param hyperparameter an option by torch's name ({@code weight_decay}), or one number of it ({@code betas[1]})
     * @throws PanoptimException when there is no such number
     */
    public final Hyperparameter hyperparameter(String hyperparameter) {
        return Hyperparameter.of(this, schema, hyperparameter);
    }

    /** All numbers of its groups that a scheduler can set. */
    public final List<Hyperparameter> hyperparameters() {
        List<Hyperparameter> all = new ArrayList<>();
        for (String option : schema.names()) {
            int numbers = schema.numbers(option);
            for (int i = 0; i < numbers; i++) {
                all.add(hyperparameter(numbers == 1 ? option : option + "[" + i + "]"));
            }
        }
        all.add(hyperparameter(ParamGroup.INDEPENDENT_WEIGHT_DECAY));
        return all;
    }

    /** The learning rates. */
    @Override
    public final Hyperparameter scheduled() {
        return hyperparameter("lr");
    }

    /** The stream on which steps, and whatever else it does to tensors, are ordered: the engine's default unless another was given. */
    public final Stream stream() {
        return wrapped == null ? stream : wrapped.stream();
    }

    /** Orders what is done from now on on another stream of the engine's device; what was given to the other one is not waited for. */
    public final void stream(Stream ordered) {
        change("stream", () -> {
            if (wrapped == null) {
                stream = ordered;
            } else {
                wrapped.stream(ordered);
            }
        });
    }

    /** How many steps were taken; waits for the device where the last one is skipped if gradients overflow. */
    public final long steps() {
        settle();
        return steps;
    }

    /** Counts the last step, if it is not known yet whether it took place; waits for the device then. */
    void settle() {}

    /** Counts a step that was not known to take place when it was ordered. */
    final void tookPlace() {
        steps++;
    }

    /**
     * Updates every parameter that has a gradient. The others keep their state and their step count.
     *
     * @throws PanoptimException when a tensor cannot be used, before anything is written
     */
    public final void step() {
        runHooks("step", stepPreHooks);
        change("step", stepping);
        runHooks("step", stepPostHooks);
    }

    /** A step that is part of something larger; hooks see it like any other, also if it is skipped. */
    final void step(StepContext context) {
        runHooks("step", stepPreHooks);
        enter("step");
        try {
            this.context = context;
            run(steppingAsPart);
        } finally {
            exit();
        }
        runHooks("step", stepPostHooks);
    }

    /**
     * Refuses what a step would refuse now, but for its hooks, before something else is written that comes before it.
     *
     * @param skipsOverflow see {@link #checkUpdate}
     */
    final void checkReady(boolean skipsOverflow) {
        change("step", skipsOverflow ? checkingWithoutOverflow : checking);
    }

    /** A wrapped optimizer's {@link #checkUpdate}, refused as its step is. */
    protected static void checkReady(Optimizer wrapped, boolean skipsOverflow) {
        wrapped.checkReady(skipsOverflow);
    }

    /**
     * Carries out a call that changes parameters or state: refused as a step is, and if it fails half-way every later call says
     * so.
     *
     * @param verb for messages
     */
    protected final void change(String verb, Runnable work) {
        enter(verb);
        try {
            run(work);
        } finally {
            exit();
        }
    }

    /**
     * Evaluates the model, then updates.
     *
     * @param closure clears and sets the gradients and returns the loss. It may call {@link #zeroGrad()} and {@link #state}, and
     *     nothing else of this optimizer. If it throws, nothing is updated; or, where a step evaluates it several times, not when it
     *     does so in a later one: the step has then failed half-way
     * @return the loss, the first one if there are several
     */
    public final double step(DoubleSupplier closure) {
        runHooks("step", stepPreHooks);
        double first;
        enter("step");
        try {
            double loss = evaluate(closure);
            first = loss;
            run(() -> {
                updateWith(loss, () -> evaluate(closure));
                steps++;
            });
        } finally {
            exit();
        }
        runHooks("step", stepPostHooks);
        return first;
    }

    /**
     * Calls a hook before every step, after those that were registered before it. Hooks run outside of the call: they may use all
     * of the optimizer, but a step in a step's hook is the caller's own recursion. If one throws, the rest of the call does not
     * happen: nothing has changed before a step or a load, and what a step or a load has done stays done after it. Hooks that are
     * added or removed by a hook are so from the next call on.
     */
    public final Handle registerStepPreHook(Consumer<Optimizer> hook) {
        return stepPreHooks.add(hook, false);
    }

    /** Calls a hook after every step; see {@link #registerStepPreHook}. */
    public final Handle registerStepPostHook(Consumer<Optimizer> hook) {
        return stepPostHooks.add(hook, false);
    }

    /** Calls a hook before every {@link #stateDict}; see {@link #registerStepPreHook}. */
    public final Handle registerStateDictPreHook(Consumer<Optimizer> hook) {
        return registerStateDictPreHook(hook, false);
    }

    /** The same, before all other hooks if {@code prepend} says so. */
    public final Handle registerStateDictPreHook(Consumer<Optimizer> hook, boolean prepend) {
        return stateDictPreHooks.add(hook, prepend);
    }

    /** Calls a hook with what {@link #stateDict} is to return, which it may change or replace. */
    public final Handle registerStateDictPostHook(StateDictHook hook) {
        return registerStateDictPostHook(hook, false);
    }

    /** The same, before all other hooks if {@code prepend} says so. */
    public final Handle registerStateDictPostHook(StateDictHook hook, boolean prepend) {
        return stateDictPostHooks.add(hook, prepend);
    }

    /** Calls a hook with a shallow copy of what is to be loaded, which it may change or replace. */
    public final Handle registerLoadStateDictPreHook(StateDictHook hook) {
        return registerLoadStateDictPreHook(hook, false);
    }

    /** The same, before all other hooks if {@code prepend} says so. */
    public final Handle registerLoadStateDictPreHook(StateDictHook hook, boolean prepend) {
        return loadStateDictPreHooks.add(hook, prepend);
    }

    /** Calls a hook after every {@link #loadStateDict}; see {@link #registerStepPreHook}. */
    public final Handle registerLoadStateDictPostHook(Consumer<Optimizer> hook) {
        return registerLoadStateDictPostHook(hook, false);
    }

    /** The same, before all other hooks if {@code prepend} says so. */
    public final Handle registerLoadStateDictPostHook(Consumer<Optimizer> hook, boolean prepend) {
        return loadStateDictPostHooks.add(hook, prepend);
    }

    private void runHooks(String verb, Hooks<Consumer<Optimizer>> hooks) {
        if (!hooks.isEmpty()) {
            enter(verb); // or refuse before any hook is called
            exit();
            hooks.each(hook -> hook.accept(this));
        }
    }

    private Map<String, @Nullable Object> runHooks(Hooks<StateDictHook> hooks, Map<String, @Nullable Object> dict) {
        List<Map<String, @Nullable Object>> current = new ArrayList<>(List.of(dict));
        hooks.each(hook -> {
            Map<String, @Nullable Object> replacement = hook.apply(this, current.getFirst());
            if (replacement != null) {
                current.set(0, replacement);
            }
        });
        return current.getFirst();
    }

    /**
     * Everything that training goes on from, in torch's layout: {@code state}, a map from a parameter's number to its tensors and
     * numbers by torch's keys, and {@code param_groups}, a list of maps with the options by torch's names (a tuple is a list,
     * {@code None} is null, a choice a string), the groups' other fields, {@code params} (numbers, counted over all groups; tied
     * parameters share the first one's), and {@code param_names} where parameters have names.
     *
     * <p>As in torch tensors are not copied: they are the optimizer's own, change with its steps, and are valid until it is closed or
     * loads another state. The maps are the caller's.
     */
    public final Map<String, @Nullable Object> stateDict() {
        runHooks("stateDict", stateDictPreHooks);
        Map<String, @Nullable Object> dict;
        enter("stateDict");
        try {
            dict = save();
        } finally {
            exit();
        }
        return runHooks(stateDictPostHooks, dict);
    }

    /**
     * Goes on from a state that this optimizer, or torch's, has saved: options, fields and state. All of it is checked before anything
     * changes. Parameters are matched by their order, not by their names, which stay as they are.
     *
     * <p>State is copied, cast to the parameters' type; numbers such as {@code step} are kept as they are (torch casts all but
     * {@code step}). As in torch the ranges of options are not checked, options that are missing stay as they are, and unknown entries
     * of a group are kept as its {@linkplain ParamGroup#fields() fields}. Unknown state is refused.
     *
     * @throws PanoptimException when it is not the state of such an optimizer with such parameters, by its path
     */
    public final void loadStateDict(Map<String, ? extends @Nullable Object> stateDict) {
        enter("loadStateDict");
        exit();
        Map<String, @Nullable Object> dict = runHooks(loadStateDictPreHooks, new LinkedHashMap<>(stateDict));
        enter("loadStateDict");
        try {
            Runnable load = prepareLoad(dict);
            run(load);
        } finally {
            exit();
        }
        runHooks("loadStateDict", loadStateDictPostHooks);
    }

    /** What {@link #stateDict} returns. */
    protected Map<String, @Nullable Object> save() {
        Map<Integer, Map<String, @Nullable Object>> states = new LinkedHashMap<>();
        List<Map<String, @Nullable Object>> saved = new ArrayList<>();
        Map<Object, Integer> numbers = new HashMap<>();
        int first = 0;
        for (ParamGroup group : groups) {
            Map<String, @Nullable Object> entries = group.saved();
            saveGroup(group, entries);
            List<Integer> params = new ArrayList<>();
            for (Parameter parameter : group.params()) {
                Object place = Place.key(parameter);
                Integer number = numbers.get(place);
                if (number == null) {
                    number = first + params.size();
                    numbers.put(place, number);
                    Map<String, @Nullable Object> state = savedState(parameter);
                    if (!state.isEmpty()) {
                        states.put(number, state);
                    }
                }
                params.add(number);
            }
            first += params.size();
            entries.put(ParamGroup.PARAMS, params);
            saved.add(entries);
        }
        Map<String, @Nullable Object> dict = new LinkedHashMap<>();
        dict.put("state", states);
        dict.put("param_groups", saved);
        return dict;
    }

    /** The state of one parameter as it is saved. */
    Map<String, @Nullable Object> savedState(Parameter parameter) {
        return new LinkedHashMap<>(stateOf(parameter));
    }

    /** Adds what is saved of a group beside its options and fields. */
    protected void saveGroup(ParamGroup group, Map<String, @Nullable Object> saved) {}

    /** The keys of those entries. */
    protected Set<String> savedOfGroups() {
        return Set.of();
    }

    /** Checks a state dictionary, and gets ready to take it over without fail: the options last. */
    protected Runnable prepareLoad(Map<String, ? extends @Nullable Object> dict) {
        StateDict loaded = new StateDict(call("loadStateDict"), groups, dict);
        List<ParamGroup.Content> before = groups.stream().map(ParamGroup::content).toList();
        List<ParamGroup.Content> after = new ArrayList<>();
        for (int i = 0; i < groups.size(); i++) {
            after.add(groups.get(i).loaded(loaded.groups.get(i), savedOfGroups()));
        }
        try {
            contents(after); // which state there must be depends on the options
            Runnable load = prepareState(loaded);
            return () -> {
                load.run();
                contents(after);
            };
        } finally {
            contents(before);
        }
    }

    private void contents(List<ParamGroup.Content> contents) {
        for (int i = 0; i < groups.size(); i++) {
            groups.get(i).content(contents.get(i));
        }
    }

    /** Checks the state, and gets ready to take it over: this either fails before it changes anything or not at all. */
    Runnable prepareState(StateDict loaded) {
        throw PanoptimException.unsupported(loaded.call, name() + " does not load state dictionaries");
    }

    /** A wrapped optimizer's {@link #save}, without its hooks. */
    protected static Map<String, @Nullable Object> saveOf(Optimizer wrapped) {
        return wrapped.save();
    }

    /** A wrapped optimizer's {@link #prepareLoad}, without its hooks. */
    protected static Runnable prepareLoadOf(Optimizer wrapped, Map<String, ? extends @Nullable Object> dict) {
        return wrapped.prepareLoad(dict);
    }

    private double evaluate(DoubleSupplier closure) {
        evaluating = true;
        try {
            return closure.getAsDouble();
        } finally {
            evaluating = false;
        }
    }

    /** Does what may fail half-way. */
    private void run(Runnable work) {
        try {
            work.run();
        } catch (PanoptimException refused) {
            if (refused.code() == Code.FAULT) {
                fault = refused;
            }
            throw refused;
        } catch (RuntimeException | Error unforeseen) {
            fault = unforeseen;
            throw unforeseen;
        }
    }

    /**
     * Puts the parameters where they are trained, as a training loop does before its first step and after each evaluation.
     * Nothing changes for most optimizers; those that train and evaluate at different points refuse to step without it.
     */
    public void train() {}

    /** Puts the parameters where they are evaluated and saved; nothing changes for most optimizers. See {@link #train()}. */
    public void eval() {}

    /** Takes the gradients away: a step skips a parameter until it has one again. */
    public final void zeroGrad() {
        zeroGrad(true);
    }

    /** Takes the gradients away or, with false, fills them with zeros (sparse ones lose their rows), which a step then uses. */
    public final void zeroGrad(boolean setToNone) {
        boolean entered = enterOrEvaluating("zeroGrad");
        try {
            List<Parameter> parameters = groups.stream().flatMap(group -> group.params().stream())
                    .filter(parameter -> parameter.gradient() != null || parameter.sparseGradient() != null).toList();
            if (setToNone) {
                parameters.forEach(parameter -> parameter.gradient(null));
            } else {
                List<Tensor> gradients = parameters.stream().map(Parameter::gradient).filter(Objects::nonNull).toList();
                gradients.forEach(gradient -> gradient.checkAccessible(call("zeroGrad"), "a gradient"));
                gradients.forEach(gradient -> engine.fill(gradient, 0, stream()));
                parameters.forEach(Optimizer::clearSparse);
            }
        } finally {
            exit(entered);
        }
    }

    private static void clearSparse(Parameter parameter) {
        SparseGradient gradient = parameter.sparseGradient();
        if (gradient != null) {
            parameter.sparseGradient(gradient.first(0));
        }
    }

    /**
     * The state of one parameter under torch's keys, {@code step} included: empty before its first step. The tensors are
     * the optimizer's own, valid until it is closed.
     */
    public final Map<String, Tensor> state(Parameter parameter) {
        boolean entered = enterOrEvaluating("state");
        try {
            return stateOf(parameter);
        } finally {
            exit(entered);
        }
    }

    /** Whether there is no step without a closure. */
    public boolean needsClosure() {
        return false;
    }

    /** How many bytes of state there will be once every parameter has taken a step. */
    public abstract long stateBytes();

    /** Frees the state; idempotent, and possible after a fault. */
    @Override
    public final void close() {
        take("close");
        try {
            if (!closed) {
                free();
                closed = true;
            }
        } finally {
            exit();
        }
    }

    /** Like torch's: the groups, with each option. */
    @Override
    public final String toString() {
        StringBuilder text = new StringBuilder(name()).append(" (");
        for (int i = 0; i < groups.size(); i++) {
            text.append("\nParameter Group ").append(i).append('\n').append(groups.get(i));
        }
        return text.append(')').toString();
    }

    /** One step, on a valid, open optimizer. What it refuses with {@link Code#FAULT} is half-written. */
    protected abstract void update();

    /**
     * Refuses what {@link #update} would refuse now: called before it where other optimizers step, or gradients are written, between the
     * two. Changes nothing that can be seen. By default nothing is refused.
     *
     * @param skipsOverflow whether the step is skipped if a gradient is infinite or NaN, which then is no reason to refuse it
     */
    protected void checkUpdate(boolean skipsOverflow) {}

    /**
     * {@link #update()} as part of something larger.
     *
     * @return whether it took place: it does not where it is skipped, and may not be known yet
     */
    boolean update(StepContext context) {
        if (context.extras().flags() != 0) {
            throw PanoptimException.unsupported(call("step"), name() + " does several passes of its own, with which nothing rides along");
        }
        update();
        return true;
    }

    /**
     * One step after a first evaluation of the closure.
     *
     * @param loss what it returned
     * @param closure evaluates it again
     */
    protected void updateWith(double loss, DoubleSupplier closure) {
        update();
    }

    /** The state of a parameter under torch's keys. */
    protected abstract Map<String, Tensor> stateOf(Parameter parameter);

    /** Called with each group once it has been accepted. */
    protected abstract void added(ParamGroup group);

    /** Whether groups can have {@link ParamGroup#independentWeightDecay}. */
    protected boolean decaysIndependently() {
        return false;
    }

    /** Frees the state; called again if it was refused. */
    protected abstract void free();

    /** Adds a group after torch's checks, with torch's messages. */
    protected final void add(List<Parameter> parameters, Record options) {
        enter("addParamGroup");
        try {
            if (parameters.isEmpty()) {
                throw PanoptimException.invalid(name(), "optimizer got an empty parameter list");
            }
            checkNames(parameters);
            checkSlices(parameters);
            checkMemory(parameters);
            if (new HashSet<>(parameters).size() < parameters.size()) {
                LOGGER.log(Level.WARNING, name() + ": optimizer contains a parameter group with duplicate parameters; in future, this "
                        + "will cause an error in torch");
            }
            ParamGroup group = new ParamGroup(schema, parameters, options, decaysIndependently());
            groups.add(group);
            added(group);
        } finally {
            exit();
        }
    }

    private void checkSlices(List<Parameter> parameters) {
        parameters.stream().filter(parameter -> parameter.isSlice() && !takesSlices()).findFirst().ifPresent(slice -> {
            throw PanoptimException.unsupported(name(), slice + " is a slice of a larger tensor: " + name() + " works on whole ones, as what "
                    + "it does to an element depends on others");
        });
    }

    /** Whether what it does to an element depends on no other, so that it can be given slices. */
    protected boolean takesSlices() {
        return false;
    }

    /** The device of the first parameter: it chooses the engine when none is given. */
    protected static Device deviceOf(String optimizer, List<Parameter> parameters) {
        Check.check(!parameters.isEmpty(), optimizer, "optimizer got an empty parameter list");
        return parameters.getFirst().value().device();
    }

    /** Takes the optimizer for a call, or refuses. */
    private void enter(String verb) {
        take(verb);
        PanoptimException refusal = closed ? new PanoptimException(Code.CLOSED, call(verb), "the optimizer is closed")
                : fault != null ? new PanoptimException(Code.FAULT, call(verb), "an earlier step failed half-way: close this "
                        + "optimizer and go on from a checkpoint", fault) : null;
        if (refusal != null) {
            exit();
            throw refusal;
        }
    }

    /** The same for what closures may call: false if one does, whose step goes on afterwards. */
    private boolean enterOrEvaluating(String verb) {
        if (user.get() == Thread.currentThread() && evaluating) {
            return false;
        }
        enter(verb);
        return true;
    }

    private void take(String verb) {
        if (!user.compareAndSet(null, Thread.currentThread())) {
            throw new PanoptimException(Code.CONCURRENT, call(verb), user.get() == Thread.currentThread()
                    ? "a step is running: its closure may evaluate the model, but not call this"
                    : "another thread is using this optimizer: use it from one thread at a time");
        }
    }

    private void exit() {
        user.set(null);
    }

    private void exit(boolean entered) {
        if (entered) {
            exit();
        }
    }

    private String call(String verb) {
        return name() + "." + verb;
    }

    private void checkNames(List<Parameter> parameters) {
        long named = parameters.stream().filter(parameter -> parameter.name() != null).count();
        if (named != 0 && named != parameters.size()) {
            throw PanoptimException.invalid(name(),
                    "all optimizer params should be with/without names. Some param names are missing");
        }
        if (!groups.isEmpty() && (groups.getFirst().params().getFirst().name() != null) != (named > 0)) {
            throw PanoptimException.invalid(name(), "all optimizer param groups should be with/without names. cannot add param "
                    + "group " + (named > 0 ? "with" : "without") + " names to the optimizer");
        }
    }

    private void checkMemory(List<Parameter> parameters) {
        Set<Object> taken = new HashSet<>();
        groups.forEach(group -> group.params().forEach(parameter -> taken.add(Place.key(parameter))));
        for (Parameter parameter : parameters) {
            Device device = parameter.value().device();
            if (!device.equals(engine.device())) {
                throw PanoptimException.invalid(name(), parameter + " lies on " + device + ", but the " + engine.name()
                        + " engine works on " + engine.device());
            }
            if (taken.contains(Place.key(parameter))) {
                throw PanoptimException.invalid(name(), "some parameters appear in more than one parameter group (" + parameter
                        + ")");
            }
        }
    }
}
