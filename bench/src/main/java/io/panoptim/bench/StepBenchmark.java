package io.panoptim.bench;

import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.CpuOptions;
import io.panoptim.optim.Adam;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.SGD;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
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

/** A step over one tensor: from the cost of a call ({@code elements = 1}) to that of memory. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class StepBenchmark {
    @Param({"SGD", "Adam", "AdamW"})
    public String optimizer;

    @Param({"1", "1024", "1048576", "33554432"})
    public long elements;

    @Param("FLOAT32")
    public DType dtype;

    @Param({"1", "2"})
    public int threads;

    private Arena arena;
    private CpuEngine engine;
    private Optimizer measured;

    @Setup(Level.Trial)
    public void open() {
        arena = Arena.ofShared();
        engine = CpuEngine.open(CpuOptions.defaults().withThreads(threads));
        Tensor gradient = Tensor.zeros(arena, dtype, elements);
        for (long i = 0; i < elements; i++) {
            gradient.set(i, 1e-3 * (i % 7 - 3));
        }
        List<Parameter> parameters = List.of(Parameter.of(Tensor.zeros(arena, dtype, elements)).gradient(gradient));
        measured = switch (optimizer) {
            case "SGD" -> new SGD(engine, parameters, SGD.Options.defaults());
            case "Adam" -> new Adam(engine, parameters, Adam.Options.defaults());
            case "AdamW" -> new AdamW(engine, parameters, AdamW.Options.defaults());
            default -> throw new IllegalArgumentException(optimizer);
        };
    }

    @TearDown(Level.Trial)
    public void close() {
        measured.close();
        engine.close();
        arena.close();
    }

    @Benchmark
    public void step() {
        measured.step();
    }
}
