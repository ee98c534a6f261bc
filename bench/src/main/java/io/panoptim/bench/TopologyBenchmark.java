package io.panoptim.bench;

import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.CpuOptions;
import io.panoptim.optim.AdamW;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
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

/**
 * What it costs when tensors, gradients or groups are not those of the step before: steps of AdamW over tensors of four elements each, of
 * which next to nothing is the update itself, {@link #unchanged}.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class TopologyBenchmark {
    @Param({"1", "148", "10000"})
    public int tensors;

    @Param("1")
    public int threads;

    private Arena arena;
    private CpuEngine engine;
    private List<Parameter> parameters;
    private List<Tensor> gradients;
    private List<Tensor> others;
    private AdamW optimizer;
    private boolean flip;

    @Setup(Level.Trial)
    public void open() {
        arena = Arena.ofShared();
        engine = CpuEngine.open(CpuOptions.defaults().withThreads(threads));
        gradients = tensors();
        others = tensors();
        List<Tensor> values = tensors();
        parameters = IntStream.range(0, tensors).mapToObj(i -> Parameter.of(values.get(i)).gradient(gradients.get(i))).toList();
        optimizer = new AdamW(engine, parameters, AdamW.Options.defaults());
        optimizer.step();
    }

    private List<Tensor> tensors() {
        return IntStream.range(0, tensors).mapToObj(i -> Tensor.of(arena, new float[] {1, 2, 3, 4})).toList();
    }

    @TearDown(Level.Trial)
    public void close() {
        optimizer.close();
        engine.close();
        arena.close();
    }

    @Benchmark
    public void unchanged() {
        optimizer.step();
    }

    /** As where the backward pass allocates all gradients anew. */
    @Benchmark
    public void everyGradientMoves() {
        flip = !flip;
        for (int i = 0; i < tensors; i++) {
            parameters.get(i).gradient((flip ? others : gradients).get(i));
        }
        optimizer.step();
    }

    @Benchmark
    public void oneGradientMoves() {
        flip = !flip;
        parameters.getLast().gradient((flip ? others : gradients).getLast());
        optimizer.step();
    }

    /** All gradients go, and come back. */
    @Benchmark
    public void theGroupIsFrozenAndThawed() {
        optimizer.paramGroups().getFirst().frozen(true);
        optimizer.step();
        optimizer.paramGroups().getFirst().frozen(false);
        optimizer.step();
    }

    /** Groups, states, tables and the first step. */
    @Benchmark
    public void aNewOptimizer() {
        try (AdamW fresh = new AdamW(engine, parameters, AdamW.Options.defaults())) {
            fresh.step();
        }
    }
}
