package io.panoptim.bench;

import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.CpuOptions;
import io.panoptim.optim.AdamW;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
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
 * A step over many small tensors against a step over one tensor of the same total, AdamW in float32. The two alternate
 * within each invocation, so that a machine whose memory bandwidth drifts slows both: compare {@code many} with
 * {@code one}, the nanoseconds spent in each over all iterations.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 10, time = 2)
@Fork(value = 2, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class TensorCountBenchmark {
    /** Nanoseconds in each of the two. */
    @AuxCounters(AuxCounters.Type.EVENTS)
    @State(Scope.Thread)
    public static class Nanos {
        public long one;
        public long many;
    }

    @Param("10000")
    public int tensors;

    @Param("1024")
    public int elements;

    @Param({"1", "2"})
    public int threads;

    private Arena arena;
    private CpuEngine engine;
    private AdamW one;
    private AdamW many;

    @Setup(Level.Trial)
    public void open() {
        arena = Arena.ofShared();
        engine = CpuEngine.open(CpuOptions.defaults().withThreads(threads));
        one = new AdamW(engine, List.of(parameter((long) tensors * elements)), AdamW.Options.defaults());
        List<Parameter> small = new ArrayList<>();
        for (int i = 0; i < tensors; i++) {
            small.add(parameter(elements));
        }
        many = new AdamW(engine, small, AdamW.Options.defaults());
    }

    @TearDown(Level.Trial)
    public void close() {
        one.close();
        many.close();
        engine.close();
        arena.close();
    }

    @Benchmark
    public void alternately(Nanos nanos) {
        long start = System.nanoTime();
        one.step();
        long middle = System.nanoTime();
        many.step();
        nanos.one += middle - start;
        nanos.many += System.nanoTime() - middle;
    }

    private Parameter parameter(long size) {
        Tensor gradient = Tensor.zeros(arena, DType.FLOAT32, size);
        for (long i = 0; i < size; i++) {
            gradient.set(i, 1e-3 * (i % 7 - 3));
        }
        return Parameter.of(Tensor.zeros(arena, DType.FLOAT32, size)).gradient(gradient);
    }
}
