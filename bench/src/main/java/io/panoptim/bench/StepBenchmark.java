package io.panoptim.bench;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.CpuOptions;
import io.panoptim.optim.Optimizer;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.HugePageArena;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import io.panoptim.tools.OptimizerKind;
import io.panoptim.tools.bench.PlainLoop;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
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
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;
import org.openjdk.jmh.runner.options.OptionsBuilder;

/**
 * A step: of one optimizer over some tensors ({@code 1x1024}: one of 1,024 elements; or {@code gpt2} and the other networks in
 * {@code bench/shapes}), from the cost of a call ({@code 1x1}) to that of memory (up to {@code 1x268435456}, for which 8 GiB are needed).
 * {@link #step} is over the same tensors again and again, which caches hold if they can. {@link #besideTheCeiling} takes turns with a plain
 * loop in C, which moves as many bytes, so that a machine whose memory bandwidth drifts slows both; and each goes from place to place, so
 * that no cache holds what is next. {@link #main} runs it and prints bytes per second.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class StepBenchmark {
    /** What all places together take, unless they are more than {@link #MOST_PLACES}. */
    private static final long ROTATED_BYTES = 1L << 29;
    private static final long MOST_PLACES = 1024;

    /** Nanoseconds and bytes of both. */
    @AuxCounters(AuxCounters.Type.EVENTS)
    @State(Scope.Thread)
    public static class Totals {
        public long nanos;
        public long bytes;
        public long ceilingNanos;
        public long ceilingBytes;
    }

    /** The places and the ceiling, for the benchmark that has them. */
    @State(Scope.Thread)
    public static class Rotation {
        private final List<Optimizer> places = new ArrayList<>();
        private PlainLoop ceiling;
        private long bytes;
        private long ceilingBytes;
        private int place;

        @Setup(Level.Trial)
        public void open(StepBenchmark benchmark) throws IOException {
            places.add(benchmark.measured);
            bytes = benchmark.bytes();
            long needed = Math.clamp(ROTATED_BYTES / bytes, 1, MOST_PLACES);
            while (places.size() < needed) {
                places.add(benchmark.optimizer());
            }
            long elements = Math.ceilDiv(bytes, PlainLoop.BYTES_PER_ELEMENT);
            ceiling = new PlainLoop(elements, places.size(), benchmark.threads);
            ceilingBytes = elements * PlainLoop.BYTES_PER_ELEMENT;
        }

        @TearDown(Level.Trial)
        public void close() {
            places.subList(1, places.size()).forEach(Optimizer::close);
            ceiling.close();
        }
    }

    @Param({"SGD", "Adam", "AdamW"})
    public String optimizer;

    @Param({"1x1", "1x1024", "1x1048576", "1x33554432", "gpt2", "resnet50", "1000x1000", "10000x1024"})
    public String tensors;

    @Param("FLOAT32")
    public DType dtype;

    @Param("cpu")
    public String engine;

    @Param({"1", "2"})
    public int threads;

    private Arena arena;
    private Engine opened;
    private List<Parameter> parameters;
    private Optimizer measured;

    /** Measures bytes per second; takes JMH's options. */
    public static void main(String[] arguments) throws RunnerException, CommandLineOptionException {
        Collection<RunResult> results = new Runner(new OptionsBuilder().parent(new CommandLineOptions(arguments))
                .include(StepBenchmark.class.getName() + ".besideTheCeiling").build()).run();
        System.out.println("| optimizer | tensors | type | threads | GB/s | a plain loop's GB/s in the same run | of the plain loop's |");
        System.out.println("| --- | --- | --- | --- | --- | --- | --- |");
        results.stream().map(StepBenchmark::line).forEach(System.out::println);
    }

    private static String line(RunResult result) {
        double rate = total(result, "bytes") / total(result, "nanos");
        double ceiling = total(result, "ceilingBytes") / total(result, "ceilingNanos");
        return "| %s | %s | %s | %s | %.1f | %.1f | %.2f |".formatted(parameter(result, "optimizer"), parameter(result, "tensors"),
                parameter(result, "dtype"), parameter(result, "threads"), rate, ceiling, rate / ceiling);
    }

    private static double total(RunResult result, String counter) {
        return result.getSecondaryResults().get(counter).getScore();
    }

    private static String parameter(RunResult result, String name) {
        return result.getParams().getParam(name);
    }

    @Setup(Level.Trial)
    public void open() throws IOException {
        arena = HugePageArena.ofShared();
        opened = engine.equals("cpu") ? CpuEngine.open(CpuOptions.defaults().withThreads(threads)) : Engines.named(engine);
        measured = optimizer();
    }

    /** A new one, over new tensors. */
    private Optimizer optimizer() throws IOException {
        parameters = Shapes.named(tensors).stream().map(this::parameter).toList();
        Optimizer made = OptimizerKind.named(optimizer, message -> PanoptimException.invalid("StepBenchmark", message))
                .create(opened, parameters, Map.of());
        made.step();
        return made;
    }

    private Parameter parameter(long[] shape) {
        Tensor value = Tensor.zeros(arena, dtype, shape);
        Tensor gradient = Tensor.zeros(arena, dtype, shape);
        for (long i = 0; i < value.elements(); i++) {
            value.set(i, 1e-2 * (i % 11 - 5));
            gradient.set(i, 1e-3 * (i % 7 - 3));
        }
        return Parameter.of(value).gradient(gradient);
    }

    /** What a step of an elementwise rule moves: value and states in and out, and the gradient in. */
    private long bytes() {
        return parameters.stream().mapToLong(parameter -> 3 * parameter.value().bytes() + measured.state(parameter).values().stream()
                .filter(parameter.value()::sameShape).mapToLong(state -> 2 * state.bytes()).sum()).sum();
    }

    @TearDown(Level.Trial)
    public void close() {
        measured.close();
        if (opened instanceof CpuEngine cpu) {
            cpu.close();
        }
        arena.close();
    }

    @Benchmark
    public void step() {
        measured.step();
    }

    @Benchmark
    public void besideTheCeiling(Totals totals, Rotation rotation) {
        rotation.place = (rotation.place + 1) % rotation.places.size();
        Optimizer next = rotation.places.get(rotation.place);
        long start = System.nanoTime();
        next.step();
        long middle = System.nanoTime();
        rotation.ceiling.steps(1);
        totals.ceilingNanos += System.nanoTime() - middle;
        totals.nanos += middle - start;
        totals.bytes += rotation.bytes;
        totals.ceilingBytes += rotation.ceilingBytes;
    }
}
