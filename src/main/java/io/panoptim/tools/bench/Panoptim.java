package io.panoptim.tools.bench;

import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.CpuOptions;
import io.panoptim.optim.Adam;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.Adagrad;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.SGD;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.HugePageArena;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import io.panoptim.train.AveragedModel;
import io.panoptim.train.Averaging;
import io.panoptim.train.GradScaler;
import io.panoptim.train.TrainingStep;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** This library's CPU engine. */
final class Panoptim implements Contender {
    /** The first side of every comparison. */
    static final class Provider implements ContenderProvider {
        @Override
        public String name() {
            return "panoptim";
        }

        @Override
        public Optional<String> unavailable(Setting setting) {
            return Optional.empty();
        }

        @Override
        public boolean supports(Workload workload) {
            return true;
        }

        @Override
        public Contender open(Workload workload, Setting setting) {
            return new Panoptim(workload, setting);
        }
    }

    private final Arena arena = HugePageArena.ofShared();
    private final CpuEngine engine;
    private final List<Parameter> parameters = new ArrayList<>();
    /** The gradients of a whole step, which zeroes them. */
    private final List<Tensor> gradients = new ArrayList<>();
    private final Optimizer optimizer;
    private final @Nullable AveragedModel averaged;
    private final @Nullable GradScaler scaler;
    private final @Nullable TrainingStep step;

    Panoptim(Workload workload, Setting setting) {
        engine = CpuEngine.open(CpuOptions.defaults().withThreads(setting.threads()));
        boolean whole = workload.extent().isWhole();
        boolean scaled = workload.extent() == Workload.Extent.SCALED;
        for (int k = 0; k < workload.shapes().size(); k++) {
            long[] shape = workload.shapes().get(k);
            Tensor value = Tensor.zeros(arena, DType.FLOAT32, shape);
            Tensor gradient = Tensor.zeros(arena, DType.FLOAT32, shape);
            for (long i = 0; i < value.elements(); i++) {
                value.set(i, Inputs.value(k, i));
                gradient.set(i, Inputs.gradient(k, i));
            }
            parameters.add(Parameter.of(value).gradient(gradient));
            if (whole) {
                gradients.add(copy(gradient, scaled ? Workload.SCALE : 1));
            }
        }
        optimizer = switch (workload.rule()) {
            case ADAMW -> new AdamW(engine, parameters, AdamW.Options.defaults().withLr(Workload.LR));
            case ADAM -> new Adam(engine, parameters, Adam.Options.defaults().withLr(Workload.LR));
            case SGD -> new SGD(engine, parameters, SGD.Options.defaults().withLr(Workload.LR).withMomentum(0.9));
            case ADAGRAD -> new Adagrad(engine, parameters, Adagrad.Options.defaults().withLr(Workload.LR));
        };
        averaged = whole ? new AveragedModel(engine, parameters, Averaging.getEmaMultiAvgFn(Workload.DECAY)) : null;
        scaler = scaled ? new GradScaler(engine, GradScaler.Options.defaults().withInitScale(Workload.SCALE)
                .withGrowthInterval(Integer.MAX_VALUE)) : null;
        step = averaged == null ? null : training(averaged);
    }

    private TrainingStep training(AveragedModel average) {
        TrainingStep.Builder builder = TrainingStep.of(optimizer).clipGradNorm(Workload.MAX_NORM).average(average).zeroGrad();
        if (scaler == null) {
            return builder.build();
        }
        scaler.scale(1); // or it refuses to step
        return builder.scaler(scaler).build();
    }

    private Tensor copy(Tensor tensor, double scale) {
        Tensor copy = Tensor.zeros(arena, DType.FLOAT32, tensor.shape());
        for (long i = 0; i < tensor.elements(); i++) {
            copy.set(i, scale * tensor.get(i));
        }
        return copy;
    }

    @Override
    public String description() {
        return "Panoptim: " + engine.description().replaceAll(", [^,]*$", "");
    }

    @Override
    public double steps(int count) {
        return step == null ? plainSteps(count) : wholeSteps(step, count);
    }

    private double plainSteps(int count) {
        long start = System.nanoTime();
        for (int i = 0; i < count; i++) {
            optimizer.step();
        }
        return (System.nanoTime() - start) * 1e-9;
    }

    private double wholeSteps(TrainingStep step, int count) {
        long nanos = 0;
        for (int i = 0; i < count; i++) {
            for (int k = 0; k < gradients.size(); k++) {
                Tensor gradient = parameters.get(k).gradient();
                if (gradient != null) {
                    gradient.segment().copyFrom(gradients.get(k).segment());
                }
            }
            long start = System.nanoTime();
            step.step();
            nanos += System.nanoTime() - start;
        }
        return nanos * 1e-9;
    }

    @Override
    public double checksum() {
        double sum = 0;
        for (Parameter parameter : parameters) {
            for (long i = 0; i < parameter.value().elements(); i++) {
                sum += Math.abs(parameter.value().get(i));
            }
        }
        return sum;
    }

    @Override
    public void close() {
        if (step != null && averaged != null) {
            step.close();
            averaged.close();
        }
        if (scaler != null) {
            scaler.close();
        }
        optimizer.close();
        engine.close();
        arena.close();
    }
}
