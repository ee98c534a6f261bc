package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Stream;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
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
    private final Engine engine;
    private final OptionSchema<?> schema;
    private final List<ParamGroup> groups;
    /** The thread in one of the calls. */
    private final AtomicReference<@Nullable Thread> user = new AtomicReference<>();
    /** Whether that thread is in the closure of a step; its alone to read. */
    private boolean evaluating;
    private @Nullable Throwable fault;
    private boolean closed;
    private long steps;
    private final Runnable stepping = () -> {
        update();
        steps++;
    };

    /** An optimizer without groups: a subclass adds at least one. */
    protected Optimizer(Engine engine, OptionSchema<?> schema) {
        this.engine = engine;
        this.schema = schema;
        this.groups = new ArrayList<>();
    }

    /** An optimizer around another one, with its groups: they are added there. */
    protected Optimizer(Optimizer wrapped) {
        this.engine = wrapped.engine;
        this.schema = wrapped.schema;
        this.groups = wrapped.groups;
    }

    /** The name under which torch and this library know the optimizer. */
    public String name() {
        return getClass().getSimpleName();
    }

    public final Engine engine() {
        return engine;
    }

    public final List<ParamGroup> paramGroups() {
        return Collections.unmodifiableList(groups);
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

    /** How many steps were taken. */
    public final long steps() {
        return steps;
    }

    /**
     * Updates every parameter that has a gradient. The others keep their state and their step count.
     *
     * @throws PanoptimException when a tensor cannot be used, before anything is written
     */
    public final void step() {
        change("step", stepping);
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
        enter("step");
        try {
            double loss = evaluate(closure);
            run(() -> {
                updateWith(loss, () -> evaluate(closure));
                steps++;
            });
            return loss;
        } finally {
            exit();
        }
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
                gradients.forEach(gradient -> engine.fill(gradient, 0, Stream.DEFAULT));
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
            checkMemory(parameters);
            ParamGroup group = new ParamGroup(schema, parameters, options, decaysIndependently());
            groups.add(group);
            added(group);
        } finally {
            exit();
        }
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
        Set<Place> taken = new HashSet<>();
        groups.forEach(group -> group.params().forEach(parameter -> taken.add(Place.of(parameter.value()))));
        for (Parameter parameter : parameters) {
            Device device = parameter.value().device();
            if (!device.equals(engine.device())) {
                throw PanoptimException.invalid(name(), parameter + " lies on " + device + ", but the " + engine.name()
                        + " engine works on " + engine.device());
            }
            if (parameter.value().elements() > 0 && taken.contains(Place.of(parameter.value()))) {
                throw PanoptimException.invalid(name(), "some parameters appear in more than one parameter group (" + parameter
                        + ")");
            }
        }
    }
}
