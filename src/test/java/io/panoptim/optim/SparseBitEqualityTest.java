package io.panoptim.optim;

import io.panoptim.Bits;
import io.panoptim.OnAllEngines;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.golden.GoldenInputs;
import io.panoptim.golden.GoldenInputs.Format;
import io.panoptim.golden.GoldenInputs.Kind;
import io.panoptim.golden.GoldenInputs.Stream;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** With sparse gradients, too, the CPU and the CUDA engine give the bits of the reference engine, after every step. */
@Tag("native")
class SparseBitEqualityTest extends OnAllEngines {
    /**
     * Nothing to update, one row, rows of one element, of a vector and less, of more than a block, of more than a piece; and enough
     * of them for all threads and for indices of two bytes and of three.
     */
    private static final long[][] SHAPES = {
        {0, 3}, {4, 0}, {1, 1}, {1, 7}, {40, 1}, {70_000, 1}, {13, 7}, {29, 3, 5}, {300, 17}, {3000, 33}, {5, 515}, {3, 40_003}, {17}};
    private static final int STEPS = 9;
    /** The stand-in for a GPU is slow, and has a block of threads for each row: it takes fewer steps, and not those 70,000 rows. */
    private static final int CUDA_STEPS = 5;
    private static final int MANY_ROWS = 5;

    /** One optimizer with a parameter of each shape, and one with dense gradients where it takes them. */
    private static final class Run {
        final List<Parameter> parameters = new ArrayList<>();
        final Optimizer optimizer;

        Run(Engine engine, BiFunction<Engine, List<Parameter>, Optimizer> make, DType dtype, Kind kind, boolean mixed, Arena arena) {
            for (int i = 0; i < SHAPES.length + (mixed ? 1 : 0); i++) {
                Tensor value = misaligned(arena, dtype, i, i < SHAPES.length ? SHAPES[i] : new long[] {1027});
                GoldenInputs.fill(value.segment(), Format.of(dtype.toString()), kind, 7, Stream.PARAM, i, 0);
                parameters.add(Parameter.of("p" + i, value));
            }
            optimizer = make.apply(engine, parameters);
        }
    }

    @ParameterizedTest(name = "{0}, {2}, {3}")
    @MethodSource("cases")
    void cpuEqualsReference(String name, BiFunction<Engine, List<Parameter>, Optimizer> make, DType dtype, Kind kind, boolean mixed) {
        try (Arena arena = Arena.ofShared()) {
            Run reference = new Run(TestEngines.reference(), make, dtype, kind, mixed, arena);
            List<Run> runs = engines.stream().map(engine -> new Run(engine, make, dtype, kind, mixed, arena)).toList();
            for (int step = 0; step < STEPS; step++) {
                List<Parameter> given = reference.parameters;
                for (int i = 0; i < given.size(); i++) {
                    setGradient(given.get(i), i, step, kind, arena);
                }
                reference.optimizer.step();
                for (Run run : runs) {
                    boolean cuda = run.optimizer.engine().name().equals("cuda");
                    boolean oneByOne = name.startsWith("SGD") && dtype.bytes() < DType.FLOAT32.bytes(); // which it refuses
                    if (cuda && (step >= CUDA_STEPS || oneByOne)) {
                        continue;
                    }
                    for (int i = 0; i < given.size(); i++) {
                        if (cuda && i == MANY_ROWS) {
                            continue;
                        }
                        run.parameters.get(i).gradient(given.get(i).gradient());
                        if (given.get(i).sparseGradient() != null) {
                            run.parameters.get(i).sparseGradient(given.get(i).sparseGradient());
                        }
                    }
                    run.optimizer.step();
                    compare(reference, run, "step " + step + ", " + run.optimizer.engine().description());
                }
            }
            runs.forEach(run -> run.optimizer.close());
            reference.optimizer.close();
        }
    }

    private static void setGradient(Parameter parameter, int tensor, int step, Kind kind, Arena arena) {
        DType dtype = parameter.value().dtype();
        long[] shape = parameter.value().shape();
        if (tensor == SHAPES.length) {
            Tensor dense = misaligned(arena, dtype, step, shape);
            GoldenInputs.fill(dense.segment(), Format.of(dtype.toString()), kind, 7, Stream.GRAD, tensor, step);
            parameter.gradient(step == 3 ? null : dense);
            return;
        }
        if (step == 5 && tensor % 3 == 0) {
            parameter.gradient(null);
            return;
        }
        long[] rows = indices(tensor, step, shape[0]);
        Tensor indices = misaligned(arena, DType.INT64, step, rows.length);
        for (int i = 0; i < rows.length; i++) {
            indices.set(i, rows[i]);
        }
        shape[0] = rows.length;
        Tensor values = misaligned(arena, dtype, step + 1, shape);
        GoldenInputs.fill(values.segment(), Format.of(dtype.toString()), kind, 7, Stream.GRAD, tensor, step);
        parameter.sparseGradient(new SparseGradient(indices, values));
    }

    /** Any number of any rows; then all in order, all in reverse, one, one repeated, none. */
    private static long[] indices(int tensor, int step, long rows) {
        return rows == 0 ? new long[0] : switch (step) {
            case 2 -> LongStream.range(0, rows).toArray();
            case 3 -> LongStream.range(0, rows).map(row -> rows - 1 - row).toArray();
            case 4 -> new long[] {rows - 1};
            case 6 -> LongStream.range(0, 20).map(i -> rows / 2).toArray();
            case 7 -> new long[0];
            default -> GoldenInputs.indices(7, tensor, step, rows);
        };
    }

    private static void compare(Run expected, Run actual, String when) {
        for (int i = 0; i < expected.parameters.size(); i++) {
            if (i == MANY_ROWS && actual.optimizer.engine().name().equals("cuda")) {
                continue;
            }
            Parameter parameter = expected.parameters.get(i);
            Bits.assertSame(parameter.value(), actual.parameters.get(i).value(), parameter + ", " + when);
            Map<String, Tensor> state = actual.optimizer.state(actual.parameters.get(i));
            expected.optimizer.state(parameter).forEach((key, tensor) ->
                    Bits.assertSame(tensor, state.get(key), key + " of " + parameter + ", " + when));
        }
    }

    private static Tensor misaligned(Arena arena, DType dtype, long offset, long... shape) {
        long bytes = LongStream.of(shape).reduce(1, (a, b) -> a * b) * dtype.bytes();
        return Tensor.of(arena.allocate(bytes + 64, 64).asSlice(offset * dtype.bytes() % 64, bytes), dtype, shape);
    }

    static List<Arguments> cases() {
        List<Arguments> cases = new ArrayList<>();
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16)) {
            SGD.Options sgd = SGD.Options.defaults().withLr(0.1);
            SGD.Options momentum = sgd.withMomentum(0.9);
            add(cases, "SGD", SGD::new, sgd, dtype, Kind.NORMAL, true);
            add(cases, "SGD maximize", SGD::new, sgd.withMaximize(true), dtype, Kind.WIDE, true);
            add(cases, "SGD momentum", SGD::new, momentum.withDampening(0.3), dtype, Kind.SPECIAL, true);
            add(cases, "SGD Nesterov maximize", SGD::new, momentum.withNesterov(true).withMaximize(true), dtype, Kind.NORMAL, true);
            Adagrad.Options adagrad = Adagrad.Options.defaults().withLrDecay(0.01);
            add(cases, "Adagrad", Adagrad::new, adagrad, dtype, Kind.SPECIAL, true);
            add(cases, "Adagrad maximize", Adagrad::new, adagrad.withMaximize(true).withInitialAccumulatorValue(0.1), dtype,
                    Kind.WIDE, true);
            add(cases, "SparseAdam", SparseAdam::new, SparseAdam.Options.defaults().withLr(0.1), dtype, Kind.SPECIAL, false);
            add(cases, "SparseAdam maximize", SparseAdam::new, SparseAdam.Options.defaults().withMaximize(true).withBetas(0.3, 0.9),
                    dtype, Kind.WIDE, false);
        }
        return cases;
    }

    private interface Constructor<O> {
        Optimizer construct(Engine engine, List<Parameter> parameters, O options);
    }

    private static <O> void add(List<Arguments> cases, String name, Constructor<O> constructor, O options, DType dtype, Kind kind,
                                boolean mixed) {
        BiFunction<Engine, List<Parameter>, Optimizer> make = (engine, parameters) -> constructor.construct(engine, parameters, options);
        cases.add(Arguments.of(name, make, dtype, kind, mixed));
    }
}
