package io.panoptim.tools.replay;

import io.panoptim.PanoptimException;
import io.panoptim.checkpoint.SafeTensors;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Stream;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.SophiaG;
import io.panoptim.schedule.LRScheduler;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import io.panoptim.tools.SchedulerKind;
import io.panoptim.train.GradientClipper;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A run done again. Parameters, room for a gradient of each and the optimizer's state lie in memory; the recorded gradients are
 * copied from the trace step by step, so that it may be larger.
 */
final class Replay implements AutoCloseable {
    private final Engine engine;
    private final Trace trace;
    private final Memory memory;
    private final Map<String, Parameter> parameters = new LinkedHashMap<>();
    private final Map<String, Tensor> gradients = new LinkedHashMap<>();
    private final Map<String, SparseGradient> sparseGradients = new LinkedHashMap<>();
    private final Optimizer optimizer;
    private final Optional<LRScheduler> scheduler;
    private final Optional<ReplayConfig.Clip> clip;
    private final @Nullable GradientClipper clipper;
    private final Metrics metrics;
    private final double[][] lrs;

    /** Prepares everything, so that what is wrong shows before the first step. */
    Replay(Engine engine, ReplayConfig config, Trace trace) {
        this.engine = engine;
        this.trace = trace;
        List<List<String>> groups = config.grouped(trace.parameters());
        checkSteps(trace, groups.size());
        this.lrs = new double[trace.steps()][];
        this.memory = engine.memory();
        @Nullable Optimizer made = null;
        try {
            trace.parameters().forEach(this::allocate);
            made = config.optimizer().make(engine, groups.stream().map(group -> group.stream().map(parameters::get).toList())
                    .toList());
            optimizer = made;
            trace.checkSamples(optimizer);
            optimizer.train();
            if (optimizer.needsClosure() && !trace.hasClosures()) {
                throw PanoptimException.invalid("replay", optimizer.name() + " evaluates a closure, and the trace has none: record "
                        + "loss/<step>/<evaluation> and grad/<step>/<evaluation>/<name> of each evaluation");
            }
            clip = config.clip();
            if (clip.isPresent() && trace.hasClosures()) {
                throw PanoptimException.invalid("replay", "clip_grad_norm clips before a step, and this trace's gradients come within it: record "
                        + "them clipped");
            }
            scheduler = config.scheduler().map(keys -> SchedulerKind.attach(optimizer, keys));
            metrics = config.metrics();
            scheduler.ifPresent(present -> metrics.check(present, trace.steps()));
            clipper = clip.isEmpty() ? null : GradientClipper.of(engine, List.copyOf(parameters.values()));
        } catch (RuntimeException | Error refused) {
            if (made != null) {
                made.close();
            }
            memory.close();
            throw refused;
        }
    }

    /** A few bytes of a gradient can claim any number of steps: those whose learning rates no file can hold are refused. */
    private static void checkSteps(Trace trace, int groups) {
        long bytes = trace.steps() * ("[]".length() + groups * (long) "0.1,".length());
        if (bytes > SafeTensors.LONGEST_HEADER) {
            throw PanoptimException.invalid("replay", "the trace claims " + trace.steps() + " steps: the learning rates of so "
                    + "many do not fit in the header of the output");
        }
    }

    private void allocate(String name) {
        Tensor initial = trace.initial(name);
        Tensor value = memory.zeros(initial.dtype(), initial.shape());
        engine.copy(initial, value, Stream.DEFAULT);
        parameters.put(name, Parameter.of(name, value));
        if (trace.hasDense(name)) {
            gradients.put(name, memory.zerosLike(value));
        }
        trace.longestSparse(name).ifPresent(count -> {
            long[] shape = value.shape();
            shape[0] = count;
            sparseGradients.put(name, new SparseGradient(memory.zeros(DType.INT64, count), memory.zeros(value.dtype(), shape)));
        });
    }

    /** Takes all steps, each with the update of the Hessian that its authors' training has after it. */
    void run() {
        for (int step = 0; step < lrs.length; step++) {
            lrs[step] = optimizer.paramGroups().stream().mapToDouble(ParamGroup::lr).toArray();
            if (trace.hasClosures()) {
                new Closure(step).run();
            } else {
                setGradients(Trace.at(step));
                if (clipper != null) {
                    clipper.clipGradNorm(clip.orElseThrow().maxNorm(), clip.orElseThrow().normType(), false);
                }
                optimizer.step();
            }
            if (scheduler.isPresent()) {
                metrics.step(scheduler.get(), step);
            }
            if (optimizer instanceof SophiaG sophia && giveSamples(step)) {
                sophia.updateHessian();
            }
        }
    }

    /** A step's evaluations, in the recorded order. */
    private final class Closure {
        private final int step;
        private final int recorded;
        private int evaluations;
        private @Nullable PanoptimException tooMany;

        Closure(int step) {
            this.step = step;
            this.recorded = trace.evaluations(step);
        }

        void run() {
            try {
                optimizer.step(this::evaluate);
            } catch (PanoptimException stopped) {
                throw tooMany == null ? stopped : tooMany;
            }
            if (evaluations < recorded) {
                throw another(evaluations + " evaluations of the closure");
            }
        }

        private double evaluate() {
            if (evaluations == recorded) {
                tooMany = another("a further evaluation of the closure");
                throw tooMany;
            }
            setGradients(Trace.at(step, evaluations));
            return trace.loss(step, evaluations++);
        }

        private PanoptimException another(String found) {
            return PanoptimException.invalid("replay", "step " + step + " of " + optimizer.name() + " takes " + found + ", and "
                    + recorded + " were recorded: the options are others, or rounding has led to another decision");
        }
    }

    private void setGradients(String time) {
        parameters.forEach((name, parameter) -> setGradient(time, name, parameter));
    }

    private void setGradient(String time, String name, Parameter parameter) {
        parameter.gradient(null);
        trace.gradient(time, name).ifPresent(recorded -> {
            Tensor gradient = gradients.get(name);
            engine.copy(recorded, gradient, Stream.DEFAULT);
            parameter.gradient(gradient);
        });
        trace.sparseGradient(time, name).ifPresent(recorded -> {
            SparseGradient gradient = sparseGradients.get(name).first(recorded.count());
            engine.copy(recorded.indices(), gradient.indices(), Stream.DEFAULT);
            engine.copy(recorded.values(), gradient.values(), Stream.DEFAULT);
            parameter.sparseGradient(gradient);
        });
    }

    /** Lets the parameters have the samples of the Hessian recorded after a step as gradients; whether there are any. */
    private boolean giveSamples(int step) {
        boolean any = false;
        for (Map.Entry<String, Parameter> entry : parameters.entrySet()) {
            Optional<Tensor> sample = trace.sample(step, entry.getKey());
            Tensor gradient = gradients.get(entry.getKey());
            sample.ifPresent(tensor -> engine.copy(tensor, gradient, Stream.DEFAULT));
            entry.getValue().gradient(sample.isPresent() ? gradient : null);
            any |= sample.isPresent();
        }
        return any;
    }

    /** The parameters and their state as they are now, under the names of the output; valid until {@link #close()}. */
    Map<String, Tensor> tensors() {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        parameters.forEach((name, parameter) -> {
            tensors.put("param/" + name, here(parameter.value()));
            optimizer.state(parameter).forEach((key, state) -> tensors.put("state/" + name + "/" + key, here(state)));
        });
        return tensors;
    }

    /** In the CPU's memory and row-major. */
    private Tensor here(Tensor tensor) {
        Arena arena = Arena.ofAuto();
        if (tensor.device().kind() == Device.Kind.CPU) {
            return tensor.rowMajor(arena);
        }
        Tensor copy = Tensor.zeros(arena, tensor.dtype(), tensor.elements()).part(0, tensor);
        engine.copy(tensor, copy, Stream.DEFAULT);
        return copy.rowMajor(arena);
    }

    /** For each step the learning rate that each group used in it, as a JSON list. */
    String learningRates() {
        return Arrays.deepToString(lrs);
    }

    /** Frees parameters, gradients and state. */
    @Override
    public void close() {
        optimizer.close();
        if (clipper != null) {
            clipper.close();
        }
        memory.close();
    }
}
