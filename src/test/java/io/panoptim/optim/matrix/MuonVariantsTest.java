package io.panoptim.optim.matrix;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.RandomTensors;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.NormuonUpdateRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.optim.MatrixOptimizer;
import io.panoptim.optim.Optimizer;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What NorMuon and MuonWithAuxAdam do beyond Muon, on every engine. */
@Tag("native")
class MuonVariantsTest extends RandomTensors {
    private static final NorMuon.Options NORMUON = NorMuon.Options.defaults().withLr(1);
    private static final MuonWithAuxAdam.Options MUON = MuonWithAuxAdam.Options.muon().withLr(1);

    static List<Engine> engines() {
        return MuonTest.engines();
    }

    private interface Maker {
        MatrixOptimizer<?> make(Engine engine, List<Parameter> parameters);
    }

    private static List<Maker> makers() {
        return List.of((engine, parameters) -> new NorMuon(engine, parameters, NORMUON),
                (engine, parameters) -> new MuonWithAuxAdam(engine, parameters, MUON));
    }

    /** After the first step each row's average is 1/20 of its mean square, so that all rows get one norm, and the whole keeps its own. */
    @ParameterizedTest
    @MethodSource("engines")
    void rowsGetOneNormAndTheMatrixKeepsIts(Engine engine) {
        for (long[] shape : new long[][] {{5, 8}, {8, 5}, {1, 9}, {9, 1}, {4, 2, 1, 3}}) {
            Tensor gradient = gaussian(DType.FLOAT64, shape);
            double[] plain = step(engine, makers().get(1), gradient);
            double[] normed = step(engine, makers().get(0), gradient);
            int rows = (int) shape[0];
            int columns = plain.length / rows;
            double whole = norm(plain, 0, plain.length);
            assertEquals(whole, norm(normed, 0, normed.length), 1e-8 * whole);
            for (int row = 0; row < rows; row++) {
                assertEquals(whole / Math.sqrt(rows), norm(normed, row * columns, columns), 1e-7 * whole);
                double ratio = normed[row * columns] / plain[row * columns];
                for (int i = row * columns; i < (row + 1) * columns; i++) {
                    assertEquals(plain[i] * ratio, normed[i], 1e-9, "a row keeps its direction");
                }
            }
        }
    }

    /** Given one orthogonalized matrix, whose products differ, engines have the same bits. */
    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64", "BFLOAT16"})
    void normalizedUpdatesHaveTheSameBits(DType dtype) {
        List<double[]> results = new ArrayList<>();
        List<Engine> engines = new ArrayList<>(List.of(TestEngines.reference()));
        engines.addAll(TestEngines.all());
        for (Engine engine : engines) {
            random.setSeed(2);
            Tensor orthogonal = gaussian(dtype, 37, 1100);
            LongStream.range(0, 2000).forEach(i -> orthogonal.set(i, 0)); // a row and a part of one
            Tensor value = gaussian(dtype, 37, 1100);
            Tensor state = Tensor.zeros(arena, DType.FLOAT64, 37, 1);
            LongStream.range(0, 20).forEach(i -> state.set(i, i * 0.1));
            Rows rows = new Rows(1).set(0, NormuonUpdateRow.DECAY, 0.99).set(0, NormuonUpdateRow.STEP_SIZE, -0.02)
                    .set(0, NormuonUpdateRow.SECOND_MOMENTUM_WEIGHT, 0.05).set(0, NormuonUpdateRow.EPS, 1e-10);
            try (Table table = engine.table(Rule.NORMUON_UPDATE, List.of(new TensorEntry("w", value, orthogonal, List.of(state), 0, 37)))) {
                table.classes(new int[] {0});
                engine.step(table, rows, null, Extras.NONE, Stream.DEFAULT);
                engine.step(table, rows, null, Extras.NONE, Stream.DEFAULT);
            }
            results.add(values(value));
            results.add(values(state));
        }
        TestEngines.close(engines);
        random.setSeed(2);
        gaussian(dtype, 37, 1100);
        Tensor before = gaussian(dtype, 37, 1100);
        assertTrue(Arrays.stream(results.get(0)).allMatch(Double::isFinite) && results.get(0)[5000] != before.get(5000) * 0.99);
        for (int i = 2; i < results.size(); i++) {
            assertArrayEquals(results.get(i % 2), results.get(i), "engine " + i / 2);
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void degenerateMatrices(Engine engine) {
        for (Maker maker : makers()) {
            for (DType products : List.of(DType.FLOAT32, DType.BFLOAT16)) {
                Parameter zero = parameter(0, 3, 5);
                Parameter one = parameter(1, 3, 5);
                Parameter nan = parameter(1, 3, 5);
                nan.gradient().set(7, Double.NaN);
                Parameter infinite = parameter(1, 3, 5);
                infinite.gradient().set(0, Double.POSITIVE_INFINITY);
                Parameter halfZero = parameter(1, 2, 4); // one row that is zero
                LongStream.range(4, 8).forEach(i -> halfZero.gradient().set(i, 0));
                Parameter single = parameter(-2, 1, 1);
                Parameter row = parameter(1, 1, 3000);
                Parameter column = parameter(1, 3000, 1);
                Parameter empty = parameter(1, 0, 5);
                List<Parameter> all = List.of(zero, one, nan, infinite, halfZero, single, row, column, empty, parameter(1, 5, 0));
                try (MatrixOptimizer<?> optimizer = maker.make(engine, all)) {
                    products(optimizer, products);
                    optimizer.step();
                    double bound = products == DType.BFLOAT16 ? 0.1 : 1e-3;
                    assertTrue(Arrays.stream(values(zero)).allMatch(value -> value == 0));
                    assertTrue(Arrays.stream(values(nan)).allMatch(Double::isNaN));
                    assertTrue(Arrays.stream(values(infinite)).allMatch(Double::isNaN));
                    double expected = keller(1);
                    assertEquals(expected, norm(values(one), 0, 15), bound * expected);
                    assertEquals(expected, norm(values(halfZero), 0, 8), bound * expected);
                    assertTrue(Arrays.stream(values(halfZero), 4, 8).allMatch(value -> value == 0));
                    assertEquals(expected, single.value().get(0), bound * expected);
                    assertEquals(expected, norm(values(row), 0, 3000), bound * expected);
                    assertEquals(expected * Math.sqrt(3000), norm(values(column), 0, 3000), bound * expected * Math.sqrt(3000));
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void whatHasNoGradientStepsAsIfItWereZero(Engine engine) {
        for (int kind = 0; kind < 2; kind++) {
            List<double[]> results = new ArrayList<>();
            for (boolean missing : new boolean[] {true, false}) {
                random.setSeed(4);
                Parameter late = Parameter.of(gaussian(DType.FLOAT64, 3, 4));
                Parameter gone = Parameter.of(gaussian(DType.FLOAT64, 3, 4)).gradient(gaussian(DType.FLOAT64, 3, 4));
                double[] first = values(late);
                double decay = kind == 1 || !missing ? 0.9 : 1;
                try (Optimizer optimizer = kind == 0
                        ? new NorMuon(engine, List.of(late, gone), NORMUON.withLr(0.1).withWeightDecay(1))
                        : new MuonWithAuxAdam(engine, List.of(late, gone), MUON.withLr(0.1).withWeightDecay(1))) {
                    late.gradient(missing ? null : Tensor.zeros(arena, DType.FLOAT64, 3, 4));
                    optimizer.step();
                    assertArrayEquals(Arrays.stream(first).map(x -> x * decay).toArray(), values(late));
                    late.gradient(gaussian(DType.FLOAT64, 3, 4));
                    double[] before = values(gone);
                    gone.gradient(missing ? null : Tensor.zeros(arena, DType.FLOAT64, 3, 4));
                    optimizer.step();
                    double[] moved = values(gone);
                    for (int i = 0; i < moved.length; i++) {
                        moved[i] -= before[i] * decay;
                    }
                    results.add(moved);
                    assertTrue(norm(moved, 0, 12) > 0.01, "it follows its momentum");
                }
            }
            assertArrayEquals(results.get(1), results.get(0), 1e-12);
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void groupsOfEitherKind(Engine engine) {
        Parameter matrix = parameter(1, 4, 4);
        Parameter bias = Parameter.of(Tensor.zeros(arena, DType.FLOAT32, 5)).gradient(gaussian(DType.FLOAT32, 5));
        Parameter scalar = Parameter.of(Tensor.zeros(arena, DType.FLOAT32)).gradient(gaussian(DType.FLOAT32));
        try (MuonWithAuxAdam optimizer = new MuonWithAuxAdam(engine, List.of(matrix), MUON)) {
            assertTrue(assertThrows(PanoptimException.class, () -> optimizer.addParamGroup(List.of(bias), MUON)).getMessage()
                    .startsWith("MuonWithAuxAdam: MuonWithAuxAdam only supports 2D parameters whereas"));
            optimizer.addParamGroup(List.of(bias, scalar), MuonWithAuxAdam.Options.adam());
            try (MuonWithAuxAdam other = new MuonWithAuxAdam(engine, List.of(bias), MuonWithAuxAdam.Options.adam())) {
                other.paramGroups().get(0).set("use_muon", true); // before its first step
                assertTrue(assertThrows(PanoptimException.class, other::step).getMessage().contains("use_muon of a group cannot change"));
            }
            optimizer.step();
            for (int i = 0; i < 5; i++) {
                assertEquals(-3e-4 * Math.signum(bias.gradient().get(i)), bias.value().get(i), 1e-9, "Adam's first step is lr");
            }
            assertEquals(List.of("momentum_buffer"), List.copyOf(optimizer.state(matrix).keySet()));
            assertEquals(List.of("exp_avg", "exp_avg_sq", "step"), List.copyOf(optimizer.state(scalar).keySet()));
            assertEquals(1, optimizer.state(scalar).get("step").get(0));
            optimizer.paramGroups().get(1).set("use_muon", true);
            double[] before = values(bias);
            assertTrue(assertThrows(PanoptimException.class, optimizer::step).getMessage().contains("use_muon of a group cannot change"));
            assertArrayEquals(before, values(bias));
            optimizer.paramGroups().get(1).set("use_muon", false);
            bias.gradient(gaussian(DType.FLOAT32, 5));
            matrix.gradient(gaussian(DType.FLOAT32, 4, 4));
            optimizer.step();
            assertEquals(2, optimizer.state(bias).get("step").get(0));
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void columnMajorMatricesHaveNoRowsToNormalize(Engine engine) {
        Tensor value = Tensor.of(arena.allocate(48, 8), DType.FLOAT32, new long[] {3, 4}, new long[] {1, 3});
        Tensor gradient = Tensor.of(arena.allocate(48, 8), DType.FLOAT32, new long[] {3, 4}, new long[] {1, 3});
        try (NorMuon optimizer = new NorMuon(engine, List.of(Parameter.of("w", value).gradient(gradient)), NORMUON)) {
            assertTrue(assertThrows(PanoptimException.class, optimizer::step).getMessage().contains("row-major"));
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void everyRunHasTheSameBits(Engine engine) {
        for (Maker maker : makers()) {
            random.setSeed(3);
            Tensor gradient = gaussian(DType.FLOAT32, 33, 70);
            assertArrayEquals(step(engine, maker, gradient), step(engine, maker, gradient));
        }
    }

    // ---- Help

    private static void products(Optimizer optimizer, DType type) {
        if (optimizer instanceof NorMuon norMuon) {
            norMuon.products(type);
        } else {
            ((MuonWithAuxAdam) optimizer).products(type);
        }
    }

    private static double keller(double value) {
        double x = value;
        for (int i = 0; i < 5; i++) {
            x = 3.4445 * x - 4.775 * x * x * x + 2.0315 * x * x * x * x * x;
        }
        return Math.abs(x);
    }

    /** What one step takes away from zeros. */
    private double[] step(Engine engine, Maker maker, Tensor gradient) {
        Parameter parameter = Parameter.of(Tensor.zeros(arena, gradient.dtype(), gradient.shape())).gradient(gradient);
        try (Optimizer optimizer = maker.make(engine, List.of(parameter))) {
            optimizer.step();
        }
        return Arrays.stream(values(parameter)).map(x -> -x).toArray();
    }

    private Parameter parameter(double gradient, long... shape) {
        return Parameter.of(constant(0, shape)).gradient(constant(gradient, shape));
    }

    private static double norm(double[] values, int begin, int count) {
        return Math.sqrt(Arrays.stream(values, begin, begin + count).map(x -> x * x).sum());
    }
}
