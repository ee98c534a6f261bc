package io.panoptim.optim.matrix;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.RandomTensors;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.linalg.NewtonSchulz.Quintic;
import io.panoptim.linalg.SingularValues;
import io.panoptim.optim.matrix.Muon.AdjustLr;
import io.panoptim.optim.matrix.Muon.Options;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Muon's steps on every engine: what they do to singular values, shapes and layouts, and what is refused. */
@Tag("native")
class MuonTest extends RandomTensors {
    private static final Options PLAIN = Options.defaults().withLr(1).withWeightDecay(0);

    static List<Engine> engines() {
        return TestEngines.multiplying();
    }

    @ParameterizedTest
    @CsvSource({"1,1", "1,30", "30,1", "8,8", "8,12", "12,8", "4,50", "50,4", "2,1000"})
    void aStepHasTheSingularValuesThatThePolynomialGives(int rows, int columns) {
        for (Engine engine : engines()) {
            for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64)) {
                Tensor gradient = gaussian(dtype, rows, columns);
                double[] update = update(engine, Tensor.zeros(arena, dtype, rows, columns), gradient, PLAIN);
                double[] direction = values(gradient);
                double norm = Math.sqrt(Arrays.stream(direction).map(x -> x * x).sum());
                double ratio = Math.sqrt(Math.max(1, (double) rows / columns));
                double[] expected = Arrays.stream(SingularValues.of(direction, rows, columns)).map(value -> keller(value / norm) * ratio)
                        .sorted().toArray();
                double[] found = Arrays.stream(SingularValues.of(update, rows, columns)).sorted().toArray();
                assertArrayEquals(expected, found, 0x1p-9 * expected[expected.length - 1], engine.description());
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void theFirstDimensionIsTheRowsWhateverTheOthersAreAndWhereverTheyLie(Engine engine) {
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16)) {
            Tensor gradient = gaussian(dtype, 6, 10);
            double[] flat = update(engine, Tensor.zeros(arena, dtype, 6, 10), gradient, PLAIN);
            Tensor convolution = Tensor.of(gradient.segment(), dtype, 6, 5, 1, 2);
            assertArrayEquals(flat, update(engine, Tensor.zeros(arena, dtype, 6, 5, 1, 2), convolution, PLAIN));
            Tensor transposed = Tensor.of(arena.allocate(gradient.bytes(), 8), dtype, new long[] {6, 10}, new long[] {1, 6});
            for (long i = 0; i < 60; i++) {
                transposed.set(i % 10 * 6 + i / 10, gradient.get(i));
            }
            double[] columnMajor = update(engine, Tensor.of(arena.allocate(gradient.bytes(), 8), dtype, new long[] {6, 10},
                    new long[] {1, 6}), transposed, PLAIN);
            double unit = dtype == DType.BFLOAT16 ? 0x1p-8 : dtype == DType.FLOAT16 ? 0x1p-11 : 1e-6;
            for (int i = 0; i < 60; i++) {
                assertEquals(flat[i], columnMajor[i % 10 * 6 + i / 10], 2 * unit, dtype + ", " + engine.description());
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void theLearningRateFollowsTheShape(Engine engine) {
        Tensor gradient = gaussian(DType.FLOAT64, 9, 4);
        double[] original = update(engine, Tensor.zeros(arena, DType.FLOAT64, 9, 4), gradient, PLAIN);
        double[] matched = update(engine, Tensor.zeros(arena, DType.FLOAT64, 9, 4), gradient, PLAIN.withAdjustLrFn(AdjustLr.MATCH_RMS_ADAMW));
        for (int i = 0; i < original.length; i++) {
            assertEquals(original[i] / 1.5 * 0.6, matched[i], 1e-12); // sqrt(9 / 4), and 0.2 sqrt(9)
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void degenerateMatrices(Engine engine) {
        degenerateMatrices(engine, DType.FLOAT32);
        degenerateMatrices(engine, DType.BFLOAT16);
    }

    private void degenerateMatrices(Engine engine, DType products) {
        double bound = products == DType.BFLOAT16 ? 2e-2 : 1e-3;
        Parameter zero = parameter(0, 3, 5);
        Parameter one = parameter(1, 3, 5);
        Parameter nan = parameter(1, 3, 5);
        nan.gradient().set(7, Double.NaN);
        Parameter infinite = parameter(1, 3, 5);
        infinite.gradient().set(0, Double.NEGATIVE_INFINITY);
        Parameter huge = parameter(3e38, 3, 5);
        Parameter tiny = parameter(1e-38, 3, 5);
        Parameter empty = parameter(1, 0, 5);
        Parameter emptyToo = parameter(1, 5, 0);
        try (Muon muon = new Muon(engine, List.of(zero, one, nan, infinite, huge, tiny, empty, emptyToo), PLAIN.withNsSteps(5))) {
            muon.products(products);
            muon.step();
            double expected = -keller(1) / Math.sqrt(15);
            assertTrue(Arrays.stream(values(zero.value())).allMatch(value -> value == 0));
            assertTrue(Arrays.stream(values(nan.value())).allMatch(Double::isNaN));
            assertTrue(Arrays.stream(values(infinite.value())).allMatch(Double::isNaN));
            for (int i = 0; i < 15; i++) {
                assertEquals(expected, one.value().get(i), bound);
                assertEquals(expected, huge.value().get(i), bound);
                assertTrue(Math.abs(tiny.value().get(i)) < 1e-25, "below eps nothing is blown up"); // 1e-38 / 1e-7, times 500
            }
        }
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64", "BFLOAT16", "FLOAT16"})
    void enginesAgree(DType dtype) {
        long[][] shapes = {{7, 9}, {9, 7}, {30, 8}, {7, 9}, {1, 5}, {40, 40}};
        List<double[]> results = new ArrayList<>();
        for (Engine engine : engines()) {
            random.setSeed(5);
            List<Parameter> parameters = Arrays.stream(shapes).map(shape -> Parameter.of(gaussian(dtype, shape))).toList();
            List<Parameter> first = parameters.subList(0, 3);
            try (Muon muon = new Muon(engine, first, Options.defaults().withLr(0.02))) {
                muon.addParamGroup(parameters.subList(3, 6), Options.defaults().withLr(0.1).withMomentum(0.5).withNesterov(false)
                        .withNsCoefficients(new Quintic(2, -1.5, 0.5)).withNsSteps(4).withAdjustLrFn(AdjustLr.MATCH_RMS_ADAMW));
                for (int step = 0; step < 6; step++) {
                    int now = step;
                    parameters.forEach(parameter -> parameter.gradient(gaussian(dtype, parameter.value().shape())));
                    if (step == 2) {
                        parameters.get(1).gradient(null);
                        muon.paramGroups().get(1).set("ns_steps", 3);
                    }
                    muon.paramGroups().get(1).frozen(now == 4);
                    muon.step();
                }
                results.add(parameters.stream().flatMapToDouble(parameter -> Arrays.stream(values(parameter.value()))).toArray());
                results.add(parameters.stream().flatMapToDouble(parameter -> Arrays.stream(values(muon.state(parameter).get("momentum_buffer"))))
                        .toArray());
            }
        }
        double bound = dtype == DType.FLOAT64 ? 1e-9 : dtype == DType.FLOAT32 ? 1e-3 : dtype == DType.FLOAT16 ? 0x1p-9 : 0x1p-6;
        for (int i = 2; i < results.size(); i += 2) {
            assertArrayEquals(results.get(0), results.get(i), bound * 4, "engine " + i / 2);
            assertArrayEquals(results.get(1), results.get(i + 1), "engine " + i / 2);
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void everyRunHasTheSameBits(Engine engine) {
        List<double[]> runs = new ArrayList<>();
        for (int run = 0; run < 2; run++) {
            random.setSeed(9);
            Parameter w = Parameter.of(gaussian(DType.FLOAT32, 33, 70)).gradient(gaussian(DType.FLOAT32, 33, 70));
            try (Muon muon = new Muon(engine, List.of(w), Options.defaults())) {
                muon.step();
                muon.step();
                runs.add(values(w.value()));
            }
        }
        assertArrayEquals(runs.get(0), runs.get(1));
    }

    /** Where products take shapes that are near each other together: all but the last two here, in three batches. */
    @ParameterizedTest
    @MethodSource("engines")
    void zeroRowsBehindMatricesChangeNothing(Engine engine) {
        long[][] shapes = {{28, 28}, {30, 28}, {27, 28}, {18, 50}, {17, 50}, {50, 9}, {45, 9}, {26, 28}, {56, 28}};
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64)) {
            for (DType products : List.of(DType.FLOAT32, DType.BFLOAT16)) {
                List<Parameter> together = new ArrayList<>();
                List<Parameter> alone = new ArrayList<>();
                for (long[] shape : shapes) {
                    together.add(Parameter.of(Tensor.zeros(arena, dtype, shape)).gradient(gaussian(dtype, shape)));
                    alone.add(Parameter.of(Tensor.zeros(arena, dtype, shape)).gradient(together.getLast().gradient()));
                }
                double bound = dtype == DType.FLOAT64 ? 1e-12 : products == DType.FLOAT32 ? 1e-5 : 0x1p-6;
                together.get(0).gradient().set(3, Double.NaN);
                try (Muon muon = new Muon(engine, together, PLAIN)) {
                    muon.products(products);
                    muon.step();
                    for (int i = 1; i < shapes.length; i++) {
                        double[] found = values(together.get(i).value());
                        try (Muon one = new Muon(engine, List.of(alone.get(i)), PLAIN)) {
                            one.products(products);
                            one.step();
                        }
                        assertArrayEquals(values(alone.get(i).value()), found, bound);
                    }
                    assertTrue(Arrays.stream(values(together.get(0).value())).allMatch(Double::isNaN));
                    together.get(0).gradient().set(3, 0.5);
                    Tensor momentum = muon.state(together.get(0)).get("momentum_buffer");
                    for (long i = 0; i < 28 * 28; i++) { // what was there is of no consequence
                        momentum.set(i, 0);
                        together.get(0).value().set(i, 0);
                    }
                    muon.step();
                    try (Muon one = new Muon(engine, alone.subList(0, 1), PLAIN)) {
                        one.products(products);
                        one.step();
                    }
                    assertArrayEquals(values(alone.get(0).value()), values(together.get(0).value()), bound);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void shapesAreJoinedWhereLaunchesCount(Engine engine) {
        List<Parameter> parameters = List.of(parameter(1, 27, 28), parameter(1, 30, 28), parameter(1, 28, 28));
        try (Muon muon = new Muon(engine, parameters, PLAIN)) {
            muon.step();
            long scratch = 2 * 28 * 28 * 4;
            assertEquals(engine.productBatch(1) == Long.MAX_VALUE ? 2 * 3 * 30 * 28 * 4 + 2 * 5 * 28 * 4 + 3 * scratch
                    : 2 * (27 + 30 + 28) * 28 * 4 + scratch, muon.workspaceBytes());
        }
        List<Parameter> far = List.of(parameter(1, 26, 28), parameter(1, 30, 28));
        try (Muon muon = new Muon(engine, far, PLAIN)) {
            muon.step();
            assertEquals(2 * 56 * 28 * 4 + 2 * 28 * 28 * 4, muon.workspaceBytes(), "more than 12 % of zeros");
        }
    }

    /** A matrix and the transposed one, which lies in memory as the first does, have learning rates of their own. */
    @ParameterizedTest
    @MethodSource("engines")
    void oneShapeInMemoryIsNotOneShape(Engine engine) {
        Tensor gradient = gaussian(DType.FLOAT64, 4, 9);
        double[] update = update(engine, Tensor.zeros(arena, DType.FLOAT64, 4, 9), gradient, PLAIN);
        Parameter row = Parameter.of(Tensor.zeros(arena, DType.FLOAT64, 4, 9)).gradient(gradient);
        Parameter column = Parameter.of(Tensor.of(arena.allocate(288, 8), DType.FLOAT64, new long[] {9, 4}, new long[] {1, 9}))
                .gradient(Tensor.of(arena.allocate(288, 8).copyFrom(gradient.segment()), DType.FLOAT64, new long[] {9, 4}, new long[] {1, 9}));
        try (Muon muon = new Muon(engine, List.of(row, column), PLAIN)) {
            muon.step();
        }
        for (int i = 0; i < 36; i++) {
            assertEquals(-update[i], row.value().get(i), 1e-14);
            assertEquals(-update[i] * 1.5, column.value().get(i), 1e-14);
        }
    }

    /** In the type in which torch has them, and back. */
    @ParameterizedTest
    @MethodSource("engines")
    void productsInBfloat16(Engine engine) {
        long[][] shapes = {{33, 70}, {70, 33}, {24, 24}, {1, 5}, {33, 70}};
        List<double[]> runs = new ArrayList<>();
        for (int run = 0; run < 3; run++) {
            random.setSeed(9);
            List<Parameter> parameters = Arrays.stream(shapes).map(shape -> Parameter.of(gaussian(DType.FLOAT32, shape))
                    .gradient(gaussian(DType.FLOAT32, shape))).toList();
            double[] before = all(parameters);
            try (Muon muon = new Muon(engine, parameters, PLAIN)) {
                muon.step();
                long bytes = muon.workspaceBytes();
                muon.products(run < 2 ? DType.BFLOAT16 : DType.FLOAT32);
                muon.step();
                assertEquals(run < 2, 2 * muon.workspaceBytes() <= bytes, "the copies of the matrices take half");
                double[] after = all(parameters);
                for (int i = 0; i < after.length; i++) {
                    after[i] -= before[i];
                }
                runs.add(after);
            }
        }
        assertArrayEquals(runs.get(0), runs.get(1), "every run has the same bits");
        double norm = Math.sqrt(Arrays.stream(runs.get(2)).map(x -> x * x).sum());
        double distance = 0;
        for (int i = 0; i < runs.get(2).length; i++) {
            distance += Math.pow(runs.get(0)[i] - runs.get(2)[i], 2);
        }
        assertTrue(distance > 0 && Math.sqrt(distance) < 2e-2 * norm, "off by " + Math.sqrt(distance) / norm);
    }

    @ParameterizedTest
    @MethodSource("engines")
    void aParameterThatIsTiedStepsOnce(Engine engine) {
        Tensor value = Tensor.zeros(arena, DType.FLOAT64, 4, 4);
        Tensor gradient = gaussian(DType.FLOAT64, 4, 4);
        Parameter one = Parameter.of(value).gradient(gradient);
        Parameter other = Parameter.of(value);
        double[] expected = update(engine, Tensor.zeros(arena, DType.FLOAT64, 4, 4), gradient, PLAIN);
        try (Muon muon = new Muon(engine, List.of(one, other), PLAIN)) {
            muon.step();
            assertArrayEquals(expected, Arrays.stream(values(value)).map(x -> -x).toArray());
            assertEquals(List.copyOf(muon.state(one).keySet()), List.of("momentum_buffer"));
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void whatIsRefusedChangesNothing(Engine engine) {
        Parameter vector = Parameter.of(Tensor.zeros(arena, DType.FLOAT32, 5));
        assertTrue(assertThrows(PanoptimException.class, () -> new Muon(engine, List.of(vector), PLAIN)).getMessage()
                .startsWith("Muon: Muon only supports 2D parameters whereas we found a parameter with size: [5]"));
        Parameter w = parameter(1, 3, 4);
        Arena own = Arena.ofShared();
        Parameter late = Parameter.of("late", Tensor.zeros(own, DType.FLOAT32, 4, 4)).gradient(gaussian(DType.FLOAT32, 4, 4));
        Parameter named = Parameter.of("w", w.value()).gradient(w.gradient());
        try (Muon muon = new Muon(engine, List.of(named, late), PLAIN)) {
            Tensor shared = Tensor.zeros(arena, DType.FLOAT32, 4, 4);
            Tensor before = named.gradient();
            late.gradient(shared);
            named.gradient(shared.slice(4, 3, 4));
            assertEquals(Code.INVALID, assertThrows(PanoptimException.class, muon::step).code());
            assertTrue(Arrays.stream(values(named.value())).allMatch(value -> value == 0));
            named.gradient(before);
            Tensor inside = Tensor.of(arena.allocate(96), DType.FLOAT32, new long[] {3, 4, 2}, new long[] {2, 6, 1});
            assertEquals("Muon: 'inside' is " + inside + " with its first dimension between the others in memory: "
                    + "expected it to be the outermost or the innermost one", assertThrows(PanoptimException.class,
                    () -> muon.addParamGroup(List.of(Parameter.of("inside", inside)), PLAIN)).getMessage());
            assertEquals(1, muon.paramGroups().size());
            late.gradient(gaussian(DType.FLOAT32, 4, 4));
            muon.step();
            double[] after = values(named.value());
            own.close();
            PanoptimException closed = assertThrows(PanoptimException.class, muon::step);
            assertEquals(Code.CLOSED, closed.code());
            assertTrue(closed.getMessage().contains("'late' lies in an arena that was closed"), closed.getMessage());
            assertArrayEquals(after, values(named.value()));
            late.gradient(null);
            muon.step();
            assertTrue(after[0] != named.value().get(0));
        }
    }

    @Test
    void optionsOutOfRangeAreRefusedInTorchsWords() {
        refused("Muon: Learning rate should be >= 0 but is: -1.0", () -> PLAIN.withLr(-1));
        refused("Muon: momentum should be >= 0 but is: -0.5", () -> PLAIN.withMomentum(-0.5));
        refused("Muon: weight decay should be >= 0 but is: -0.1", () -> PLAIN.withWeightDecay(-0.1));
        refused("Muon: Number of steps must be less than 100 for computational efficiency", () -> PLAIN.withNsSteps(100));
        Parameter w = parameter(1, 3, 4);
        try (Muon muon = new Muon(TestEngines.reference(), List.of(w), PLAIN)) {
            refused("Muon: products in float64: expected float32 or bfloat16", () -> muon.products(DType.FLOAT64));
            assertEquals(DType.FLOAT32, muon.products());
        }
        refused("Muon: Invalid eps value: NaN", () -> PLAIN.withEps(Double.NaN));
    }

    // ---- Help

    private static void refused(String message, Runnable call) {
        assertEquals(message, assertThrows(PanoptimException.class, call::run).getMessage());
    }

    private static double keller(double value) {
        double x = value;
        for (int i = 0; i < 5; i++) {
            x = 3.4445 * x - 4.775 * x * x * x + 2.0315 * x * x * x * x * x;
        }
        return Math.abs(x);
    }

    private Parameter parameter(double gradient, long... shape) {
        return Parameter.of(constant(0, shape)).gradient(constant(gradient, shape));
    }

    /** What one step takes away from zeros. */
    private static double[] update(Engine engine, Tensor value, Tensor gradient, Options options) {
        try (Muon muon = new Muon(engine, List.of(Parameter.of(value).gradient(gradient)), options)) {
            muon.step();
        }
        return Arrays.stream(values(value)).map(x -> -x).toArray();
    }

    private static double[] all(List<Parameter> parameters) {
        return parameters.stream().flatMapToDouble(parameter -> Arrays.stream(values(parameter.value()))).toArray();
    }
}
