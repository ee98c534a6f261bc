package io.panoptim.bench;

import io.panoptim.engine.Stream;
import io.panoptim.engine.cuda.CudaEngine;
import io.panoptim.engine.cuda.CudaStream;
import io.panoptim.optim.AdamW;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
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
 * What a step of AdamW on CUDA costs the CPU, by the number of tensors: until {@code step} returns, which does not wait for the device; and
 * until the replay of a captured step does. The device is idle before each. On the stand-in for a driver with
 * {@code PANOPTIM_CUDA_SHIM=kernels=0}, as in {@link LaunchBenchmark}.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.SampleTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 2, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class CudaStepBenchmark {
    @Param({"1", "148", "10000"})
    public int tensors;

    private CudaEngine engine;
    private Memory memory;
    private CudaStream stream;
    private AdamW eager;
    private AdamW captured;

    @Setup(Level.Trial)
    public void open() {
        engine = CudaEngine.open(0);
        memory = engine.memory();
        stream = engine.newStream();
        eager = adamw();
        captured = adamw();
        captured.stream(stream.stream());
        captured.step();
        captured.captureStep();
    }

    private AdamW adamw() {
        List<Parameter> parameters = IntStream.range(0, tensors).mapToObj(i -> Parameter.of(memory.zeros(DType.FLOAT32, 4))
                .gradient(memory.zeros(DType.FLOAT32, 4))).toList();
        return new AdamW(engine, parameters, AdamW.Options.defaults());
    }

    @TearDown(Level.Trial)
    public void close() {
        eager.close();
        captured.close();
        stream.close();
        memory.close();
        engine.close();
    }

    @Setup(Level.Invocation)
    public void waitForTheDevice() {
        engine.synchronize(Stream.DEFAULT);
        stream.synchronize();
    }

    @Benchmark
    public void step() {
        eager.step();
    }

    @Benchmark
    public void replay() {
        captured.step();
    }
}
