package io.panoptim.bench;

import io.panoptim.engine.Engines;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.Hyperparameter;
import io.panoptim.optim.ParamGroup;
import io.panoptim.schedule.LRScheduler;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import io.panoptim.tools.JsonKeys;
import io.panoptim.tools.SchedulerKind;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** What it costs to step a scheduler, and to set one number of a group. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class SchedulerBenchmark {
    /** With factors and lengths that neither end nor vanish in any number of steps. */
    @Param({
        "StepLR:step_size=3,gamma=1.0",
        "MultiStepLR:milestones=10+20+30",
        "LinearLR:start_factor=0.5,total_iters=1000000000000",
        "ExponentialLR:gamma=1.0",
        "PolynomialLR:total_iters=1000000000000,power=0.9",
        "CosineAnnealingLR:T_max=1000,eta_min=0.0001",
        "CosineAnnealingWarmRestarts:T_0=10,T_mult=2",
        "CyclicLR:base_lr=0.001,max_lr=0.1,mode=triangular2,step_size_up=1000000000000",
        "OneCycleLR:max_lr=0.1,total_steps=1000000000000",
        "SWALR:swa_lr=0.01",
        "ReduceLROnPlateau",
        "TanhLR:T_max=1000000000000",
        "RexLR:total_iters=1000000000000",
        "cosine:num_warmup_steps=100,num_training_steps=1000000000000",
        "{\"name\": \"WarmupLR\", \"warmup_steps\": 100, \"scheduler\": {\"name\": \"CosineAnnealingLR\", \"T_max\": 1000}}",
        "{\"name\": \"SequentialLR\", \"milestones\": [9], \"schedulers\": [{\"name\": \"LinearLR\"}, "
            + "{\"name\": \"CosineAnnealingLR\", \"T_max\": 1000}]}",
        "{\"name\": \"ChainedScheduler\", \"schedulers\": [{\"name\": \"LinearLR\"}, {\"name\": \"CosineAnnealingLR\", \"T_max\": 1000}]}"
    })
    public String scheduler;

    @Param({"1", "8"})
    public int groups;

    private Arena arena;
    private AdamW optimizer;
    private LRScheduler measured;
    private Hyperparameter weightDecay;
    private ParamGroup group;
    private long steps;

    @Setup(Level.Trial)
    public void open() {
        arena = Arena.ofShared();
        optimizer = new AdamW(Engines.named("reference"), parameters(), AdamW.Options.defaults());
        for (int i = 1; i < groups; i++) {
            optimizer.addParamGroup(parameters(), AdamW.Options.defaults().withLr(1e-3 / (i + 1)));
        }
        measured = SchedulerKind.attach(optimizer, JsonKeys.parse("scheduler", scheduler));
        optimizer.step(); // or the first step of the scheduler warns
        weightDecay = optimizer.hyperparameter("weight_decay");
        group = optimizer.paramGroups().getLast();
    }

    private List<Parameter> parameters() {
        return List.of(Parameter.of(Tensor.zeros(arena, DType.FLOAT32, 1)));
    }

    @TearDown(Level.Trial)
    public void close() {
        optimizer.close();
        arena.close();
    }

    @Benchmark
    public void step() {
        measured.stepWithMetric(steps++ & 0xff);
    }

    @Benchmark
    public double set() {
        weightDecay.set(group, weightDecay.get(group) * 0.5 + 1e-3);
        return weightDecay.get(group);
    }
}
