package io.panoptim.bench;

import io.panoptim.PanoptimException;
import io.panoptim.engine.RuleSums;
import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.CpuOptions;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.FusedOptimizer;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.norm.LAMB;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import io.panoptim.tools.OptimizerKind;
import java.lang.foreign.Arena;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.StreamSupport;
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
 * The bytes per second at which each rule goes through memory, against AdamW's, in float32 with default options. The two
 * alternate within each invocation, so that a machine whose memory bandwidth drifts slows both. {@link #main} runs every fused
 * optimizer and prints a table.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class RuleBenchmark {
    /** Nanoseconds and bytes of both. */
    @AuxCounters(AuxCounters.Type.EVENTS)
    @State(Scope.Thread)
    public static class Totals {
        public long nanos;
        public long bytes;
        public long adamWNanos;
        public long adamWBytes;
    }

    @Param("SGD")
    public String optimizer;

    @Param("16777216")
    public long elements;

    @Param("1")
    public int threads;

    private Arena arena;
    private CpuEngine engine;
    private FusedOptimizer<?> measured;
    private FusedOptimizer<?> adamW;
    private long bytes;
    private long adamWBytes;

    /** Measures every fused optimizer, or those given by {@code -p optimizer=}; takes JMH's options. */
    public static void main(String[] arguments) throws RunnerException, CommandLineOptionException {
        CommandLineOptions options = new CommandLineOptions(arguments);
        String[] names = options.getParameter("optimizer").hasValue() ? options.getParameter("optimizer").get().toArray(String[]::new)
                : StreamSupport.stream(new OptimizerKind.Names().spliterator(), false).filter(RuleBenchmark::isDense)
                        .toArray(String[]::new);
        Collection<RunResult> results = new Runner(new OptionsBuilder().parent(options).include(RuleBenchmark.class.getName())
                .param("optimizer", names).build()).run();
        System.out.println("| optimizer | threads | bytes per parameter | GB/s | AdamW's GB/s in the same run | of AdamW's |");
        System.out.println("| --- | --- | --- | --- | --- | --- |");
        results.stream().map(RuleBenchmark::line).sorted(Comparator.naturalOrder()).forEach(System.out::println);
    }

    private static String line(RunResult result) {
        double rate = total(result, "bytes") / total(result, "nanos");
        double adamW = total(result, "adamWBytes") / total(result, "adamWNanos");
        double steps = total(result, "adamWBytes") / bytesPerParameter(2, 0);
        return "| %s | %s | %.0f | %.1f | %.1f | %.2f |".formatted(result.getParams().getParam("optimizer"),
                result.getParams().getParam("threads"), total(result, "bytes") / steps, rate, adamW, rate / adamW);
    }

    private static double total(RunResult result, String counter) {
        return result.getSecondaryResults().get(counter).getScore();
    }

    private static boolean isDense(String name) {
        try (Arena arena = Arena.ofShared(); CpuEngine engine = CpuEngine.open(CpuOptions.defaults().withThreads(1));
             Optimizer made = create(name, engine, List.of(parameter(arena, 1)))) {
            return made instanceof FusedOptimizer<?> && !name.startsWith("Sparse");
        } catch (PanoptimException forMatricesOnly) {
            return false;
        }
    }

    private static Optimizer create(String name, CpuEngine engine, List<Parameter> parameters) {
        return OptimizerKind.named(name, message -> PanoptimException.invalid("RuleBenchmark", message)).create(engine, parameters, Map.of());
    }

    @Setup(Level.Trial)
    public void open() {
        arena = Arena.ofShared();
        engine = CpuEngine.open(CpuOptions.defaults().withThreads(threads));
        Parameter parameter = parameter(arena, elements);
        measured = (FusedOptimizer<?>) create(optimizer, engine, List.of(parameter));
        measured.train();
        bytes = bytes(measured, parameter);
        Parameter other = parameter(arena, elements);
        adamW = new AdamW(engine, List.of(other), AdamW.Options.defaults());
        adamWBytes = bytes(adamW, other);
    }

    @TearDown(Level.Trial)
    public void close() {
        measured.close();
        adamW.close();
        engine.close();
        arena.close();
    }

    @Benchmark
    public void alternately(Totals totals) {
        long start = System.nanoTime();
        measured.step();
        long middle = System.nanoTime();
        adamW.step();
        totals.adamWNanos += System.nanoTime() - middle;
        totals.nanos += middle - start;
        totals.bytes += bytes;
        totals.adamWBytes += adamWBytes;
    }

    /** What a step moves: value and states in and out, the gradient in, and before that what the rule's sums are taken of. */
    private static long bytes(FusedOptimizer<?> optimizer, Parameter parameter) {
        optimizer.step();
        long slots = optimizer.state(parameter).values().stream().filter(parameter.value()::sameShape).count();
        RuleSums sums = optimizer.rule().sums();
        boolean measures = sums != null && (sums.flag() == 0 || optimizer instanceof LAMB); // of rules that may, by default LAMB
        int reads = measures ? Integer.bitCount(sums.columns()) : 0;
        return parameter.value().elements() * bytesPerParameter(slots, reads);
    }

    private static long bytesPerParameter(long slots, int reads) {
        return 12 + 8 * slots + 4L * reads;
    }

    private static Parameter parameter(Arena arena, long elements) {
        Tensor value = Tensor.zeros(arena, DType.FLOAT32, elements);
        Tensor gradient = Tensor.zeros(arena, DType.FLOAT32, elements);
        for (long i = 0; i < elements; i++) {
            value.set(i, 1e-2 * (i % 11 - 5));
            gradient.set(i, 1e-3 * (i % 7 - 3));
        }
        return Parameter.of(value).gradient(gradient);
    }
}
