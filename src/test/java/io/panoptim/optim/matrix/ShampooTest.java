package io.panoptim.optim.matrix;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.ShampooFilterRow;
import io.panoptim.engine.ShampooGraftRow;
import io.panoptim.engine.ShampooUpdateRow;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.optim.Adam;
import io.panoptim.optim.matrix.Shampoo.Exponents;
import io.panoptim.optim.matrix.Shampoo.Grafting;
import io.panoptim.optim.matrix.Shampoo.Options;
import io.panoptim.optim.matrix.Shampoo.RootInv;
import io.panoptim.optim.matrix.Shampoo.WeightDecayType;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Shampoo's steps: the roots by their definition, blocks, grafting, batches, degenerate input and what is refused. */
@Tag("native")
class ShampooTest extends StepsOfTensors {
    private static final Options ADAM = Options.defaults().withBetas(0.9, 0.99).withEpsilon(1e-6).withGrafting(Grafting.ADAM, 0.999, 1e-8)
            .withPreconditioning(2, 3);

    static List<Engine> engines() {
        return TestEngines.multiplying();
    }

    /** The fourth power of a matrix's inverse fourth root, times the matrix, is the identity; and the step is the product of both. */
    @ParameterizedTest
    @MethodSource("engines")
    void rootsAreInverseRootsOfTheSums(Engine engine) {
        for (RootInv how : RootInv.values()) {
            for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16)) {
                Parameter w = Parameter.of(Tensor.zeros(arena, dtype, 6, 5));
                Options options = Options.defaults().withBetas(0, 1).withEpsilon(1e-4).withMaxPreconditionerDim(6).withLr(1).withRootInv(how);
                try (Shampoo shampoo = new Shampoo(engine, List.of(w), options)) {
                    double[] before = new double[30];
                    for (int step = 0; step < 9; step++) {
                        before = values(w.value());
                        w.gradient(gaussian(dtype, 6, 5));
                        shampoo.step();
                    }
                    Map<String, Tensor> state = shampoo.state(w);
                    double bound = dtype != DType.FLOAT64 ? 2e-3 : how == RootInv.EIGEN ? 1e-9 : 1e-5;
                    double[][] roots = new double[2][];
                    for (int mode = 0; mode < 2; mode++) {
                        int d = 6 - mode;
                        double[] root = values(state.get("block_0.shampoo.inv_factor_matrices." + mode));
                        double[] factor = values(state.get("block_0.shampoo.factor_matrices." + mode));
                        for (int i = 0; i < d; i++) {
                            factor[i * (d + 1)] += 1e-4;
                        }
                        roots[mode] = root;
                        double[] square = multiply(root, root, d, d, d);
                        double[] unit = multiply(multiply(square, square, d, d, d), factor, d, d, d);
                        for (int i = 0; i < d * d; i++) {
                            assertEquals(i % (d + 1) == 0 ? 1 : 0, unit[i], bound, how + ", " + engine.description());
                        }
                    }
                    double[] direction = multiply(multiply(roots[0], values(w.gradient()), 6, 6, 5), roots[1], 6, 5, 5);
                    for (int i = 0; i < 30; i++) {
                        assertEquals(before[i] - direction[i], w.value().get(i), dtype == DType.BFLOAT16 ? 0.02 : 1e-4, how + " " + dtype);
                    }
                }
            }
        }
    }

    /** Before the first roots a step is the grafted method's. */
    @ParameterizedTest
    @MethodSource("engines")
    void beforeTheFirstRootsItIsAdam(Engine engine) {
        Parameter w = Parameter.of(gaussian(DType.FLOAT64, 9, 7));
        Parameter v = Parameter.of(Tensor.zeros(arena, DType.FLOAT64, 9, 7));
        v.value().segment().copyFrom(w.value().segment());
        try (Shampoo shampoo = new Shampoo(engine, List.of(w), ADAM.withPreconditioning(2, 100).withMaxPreconditionerDim(4).withLr(0.01));
                Adam adam = new Adam(engine, List.of(v), Adam.Options.defaults().withLr(0.01))) {
            for (int step = 0; step < 6; step++) {
                w.gradient(gaussian(DType.FLOAT64, 9, 7));
                v.gradient(w.gradient());
                shampoo.step();
                adam.step();
            }
        }
        assertArrayEquals(values(v.value()), values(w.value()), 1e-12);
    }

    /** Each block's step has the norm of the grafted one's. */
    @ParameterizedTest
    @EnumSource(value = Grafting.class, mode = EnumSource.Mode.EXCLUDE, names = "NONE")
    void stepsHaveTheGraftedNorm(Grafting grafting) {
        Options options = Options.defaults().withBetas(0, 0.9).withEpsilon(1e-3).withMaxPreconditionerDim(16).withLr(1)
                .withGrafting(grafting, 0.9, 1e-8);
        Options only = options.withPreconditioning(1, 1000);
        for (Engine engine : engines()) {
            Parameter w = Parameter.of(Tensor.zeros(arena, DType.FLOAT64, 16, 3));
            Parameter v = Parameter.of(Tensor.zeros(arena, DType.FLOAT64, 16, 3));
            try (Shampoo shampoo = new Shampoo(engine, List.of(w), options); Shampoo other = new Shampoo(engine, List.of(v), only)) {
                for (int step = 0; step < 4; step++) {
                    double[] fromW = values(w.value());
                    double[] fromV = values(v.value());
                    w.gradient(gaussian(DType.FLOAT64, 16, 3));
                    v.gradient(w.gradient());
                    shampoo.step();
                    other.step();
                    double distance = distance(fromV, values(v.value()));
                    assertEquals(distance, distance(fromW, values(w.value())), 1e-9 * distance);
                    assertTrue(distance(values(v.value()), values(w.value())) > 0.01, "the direction is another one");
                }
            }
        }
    }

    /** A tensor that is cut goes as its blocks would as parameters of their own. */
    @ParameterizedTest
    @MethodSource("engines")
    void blocksGoAsTensorsOfTheirOwn(Engine engine) {
        for (DType dtype : List.of(DType.FLOAT64, DType.BFLOAT16)) {
            Options options = ADAM.withMaxPreconditionerDim(4).withWeightDecay(0.1, WeightDecayType.L2).withMomentum(0.5, 0, true);
            Parameter whole = Parameter.of(gaussian(dtype, 7, 2, 7));
            List<Parameter> parts = new ArrayList<>();
            for (int[] block : BLOCKS) {
                parts.add(Parameter.of(Tensor.zeros(arena, dtype, block[1], block[3], block[5])));
                cut(whole.value(), block, parts.getLast().value());
            }
            try (Shampoo one = new Shampoo(engine, List.of(whole), options); Shampoo many = new Shampoo(engine, parts, options)) {
                for (int step = 0; step < 6; step++) {
                    whole.gradient(gaussian(dtype, 7, 2, 7));
                    for (int i = 0; i < parts.size(); i++) {
                        parts.get(i).gradient(Tensor.zeros(arena, dtype, parts.get(i).value().shape()));
                        cut(whole.gradient(), BLOCKS[i], parts.get(i).gradient());
                    }
                    one.step();
                    many.step();
                }
            }
            for (int i = 0; i < parts.size(); i++) {
                Tensor block = Tensor.zeros(arena, dtype, parts.get(i).value().shape());
                cut(whole.value(), BLOCKS[i], block);
                assertArrayEquals(values(parts.get(i).value()), values(block), dtype == DType.FLOAT64 ? 1e-9 : 0.02, engine.description());
            }
        }
    }

    /** First and size, of each dimension. */
    private static final int[][] BLOCKS = {{0, 4, 0, 2, 0, 4}, {0, 4, 0, 2, 4, 3}, {4, 3, 0, 2, 0, 4}, {4, 3, 0, 2, 4, 3}};

    private static void cut(Tensor from, int[] block, Tensor to) {
        long[] shape = from.shape();
        int n = 0;
        for (int i = 0; i < block[1]; i++) {
            for (int j = 0; j < block[3]; j++) {
                for (int k = 0; k < block[5]; k++) {
                    to.set(n++, from.get(((block[0] + i) * shape[1] + block[2] + j) * shape[2] + block[4] + k));
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void tensorsOfOneShapeGoTogetherAsTheyWouldApart(Engine engine) {
        assertTogetherAsApart(40, parameters -> new Shampoo(engine, parameters, ADAM));
    }

    @ParameterizedTest
    @MethodSource("engines")
    void aSavedStateGoesOn(Engine engine) {
        Options options = ADAM.withMaxPreconditionerDim(5).withMomentum(0.9, 0, false);
        List<double[]> results = new ArrayList<>();
        for (boolean stops : new boolean[] {false, true}) {
            random.setSeed(3);
            Parameter w = Parameter.of(gaussian(DType.FLOAT32, 8, 3));
            Shampoo shampoo = new Shampoo(engine, List.of(w), options);
            for (int step = 0; step < 8; step++) {
                if (stops && step == 5) {
                    Shampoo next = new Shampoo(engine, List.of(w), options);
                    next.loadStateDict(shampoo.stateDict());
                    shampoo.close();
                    shampoo = next;
                }
                w.gradient(gaussian(DType.FLOAT32, 8, 3));
                shampoo.step();
            }
            shampoo.close();
            results.add(values(w.value()));
        }
        assertArrayEquals(results.get(0), results.get(1));
    }

    /** Which nests its blocks' states. */
    @Test
    void theSourcesStateIsLoaded() {
        Parameter w = parameter(1, 2, 3);
        try (Shampoo shampoo = new Shampoo(TestEngines.reference(), List.of(w), Options.defaults().withMaxPreconditionerDim(3))) {
            Map<String, Object> dict = shampoo.stateDict();
            Map<Integer, Tensor> factors = Map.of(0, gaussian(DType.FLOAT32, 2, 2), 1, gaussian(DType.FLOAT32, 3, 3));
            Tensor average = gaussian(DType.FLOAT32, 2, 3);
            dict.put("state", Map.of(0, Map.of("step", 7, "block_0", Map.of("filtered_grad", average,
                    "shampoo", Map.of("factor_matrices", factors, "inv_factor_matrices", factors)))));
            shampoo.loadStateDict(dict);
            assertEquals(7, shampoo.state(w).get("step").get(0));
            assertArrayEquals(values(average), values(shampoo.state(w).get("block_0.filtered_grad")));
            for (int mode = 0; mode < 2; mode++) {
                assertArrayEquals(values(factors.get(mode)), values(shampoo.state(w).get("block_0.shampoo.inv_factor_matrices." + mode)));
            }
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void everyRunHasTheSameBits(Engine engine) {
        assertEveryRunHasTheSameBits(5, parameters -> new Shampoo(engine, parameters, ADAM.withMaxPreconditionerDim(64)));
    }

    /** The element-wise parts, which are rules. */
    @Test
    void rulesHaveTheSameBitsOnEveryEngine() {
        List<Engine> engines = TestEngines.all();
        try {
            for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64)) {
                List<Tensor> expected = rules(TestEngines.reference(), dtype);
                for (Engine engine : engines) {
                    List<Tensor> found = rules(engine, dtype);
                    for (int i = 0; i < expected.size(); i++) {
                        Bits.assertSame(expected.get(i), found.get(i), i + ", " + engine.description());
                    }
                }
            }
        } finally {
            TestEngines.close(engines);
        }
    }

    /** With every number of states, and every flag. */
    private List<Tensor> rules(Engine engine, DType dtype) {
        random.setSeed(12);
        List<Tensor> tensors = new ArrayList<>();
        for (int row = 0; row < 4; row++) {
            Rows filter = new Rows(1).set(0, ShampooFilterRow.FILTER_WEIGHT, 0.2).set(0, ShampooFilterRow.AVERAGE_WEIGHT, 0.1)
                    .set(0, ShampooFilterRow.CORRECTION, 0.7).set(0, ShampooFilterRow.SQUARE_DECAY, 0.9)
                    .set(0, ShampooFilterRow.SQUARE_WEIGHT, 0.1).flags(0, Rows.flag(ShampooFilterRow.FILTERS, row > 1));
            Rows graft = new Rows(1).set(0, ShampooGraftRow.CORRECTION, 0.3).set(0, ShampooGraftRow.EPS, 1e-3)
                    .flags(0, Rows.flag(ShampooGraftRow.SCALES, row != 1));
            Rows update = new Rows(1).set(0, ShampooUpdateRow.WEIGHT_DECAY, 0.1).set(0, ShampooUpdateRow.MOMENTUM, 0.9)
                    .set(0, ShampooUpdateRow.UNDAMPENED, 0.8).set(0, ShampooUpdateRow.STEP_SIZE, -0.1)
                    .flags(0, Rows.flag(ShampooUpdateRow.DECAYS, row % 2 == 0) | Rows.flag(ShampooUpdateRow.NESTEROV, row > 1));
            for (long size : new long[] {1, 70, 5000}) {
                List<Tensor> of = IntStream.range(0, 6).mapToObj(i -> gaussian(dtype, size)).toList();
                for (long i = 0; i < size; i++) {
                    of.get(3).set(i, Math.abs(of.get(3).get(i)));
                }
                List<Tensor> averages = row == 3 ? of.subList(2, 4) : of.subList(row < 2 ? 3 : 2, row < 2 ? 4 : 3);
                step(engine, Rule.SHAMPOO_FILTER, filter, new TensorEntry("a", of.get(0), of.get(1), averages, 0));
                step(engine, Rule.SHAMPOO_GRAFT, graft, new TensorEntry("a", of.get(4), of.get(0), row % 2 == 0 ? List.of() : of.subList(3, 4), 0));
                step(engine, Rule.SHAMPOO_UPDATE, update, new TensorEntry("a", of.get(1), of.get(4), row == 0 ? List.of() : of.subList(5, 6), 0));
                tensors.addAll(of);
            }
        }
        return tensors;
    }

    private static void step(Engine engine, Rule rule, Rows rows, TensorEntry entry) {
        try (Table table = engine.table(rule, List.of(entry))) {
            table.classes(new int[] {0});
            engine.step(table, rows, null, Extras.NONE, Stream.DEFAULT);
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void degenerateGradients(Engine engine) {
        for (Grafting grafting : List.of(Grafting.NONE, Grafting.ADAM)) {
            Parameter zero = parameter(0, 3, 5);
            Parameter one = parameter(1, 1, 1);
            Parameter row = parameter(1, 1, 300);
            Parameter column = parameter(1, 300, 1);
            Parameter rankOne = parameter(1, 50, 40);
            Parameter tiny = parameter(1e-20, 5, 4);
            Parameter wide = parameter(1, 2, 3000);
            Parameter scalar = parameter(1);
            List<Parameter> all = List.of(zero, one, row, column, rankOne, tiny, wide, scalar, parameter(1, 0, 3), parameter(1, 0));
            Options options = Options.defaults().withBetas(0.9, 1).withEpsilon(1e-6).withMaxPreconditionerDim(64).withLr(0.01)
                    .withGrafting(grafting, 0.999, 1e-8);
            try (Shampoo shampoo = new Shampoo(engine, all, options)) {
                for (int step = 0; step < 4; step++) {
                    shampoo.step();
                }
            }
            assertTrue(Arrays.stream(values(zero.value())).allMatch(x -> x == 1));
            assertTrue(all.stream().allMatch(parameter -> Arrays.stream(values(parameter.value())).allMatch(Double::isFinite)));
            for (Parameter steady : List.of(one, scalar)) { // sums: 1 / sqrt(k) at step k
                double moved = grafting == Grafting.NONE ? 0.01 * (1 + Math.sqrt(0.5) + Math.sqrt(1 / 3.0) + 0.5) : 0.04;
                assertEquals(1 - moved, steady.value().get(0), 1e-5);
            }
            for (Parameter moved : List.of(row, column, rankOne, wide)) {
                assertTrue(Arrays.stream(values(moved.value())).allMatch(x -> x < 1 && x > 0.9), grafting + ", " + engine.description());
            }
            assertTrue(Arrays.stream(values(tiny.value())).allMatch(x -> x <= 1 && x > 0.9));
        }
    }

    @ParameterizedTest
    @MethodSource("engines")
    void whatIsNotFiniteIsRefused(Engine engine) {
        for (RootInv how : RootInv.values()) {
            for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
                Parameter given = parameter(1, 3, 5);
                Parameter named = Parameter.of("w", given.value()).gradient(given.gradient());
                named.gradient().set(7, bad);
                try (Shampoo shampoo = new Shampoo(engine, List.of(named), ADAM.withPreconditionFrequency(1).withMaxPreconditionerDim(5)
                        .withRootInv(how))) {
                    PanoptimException refused = assertThrows(PanoptimException.class, shampoo::step);
                    assertEquals(Code.FAULT, refused.code());
                    assertTrue(refused.getMessage().contains("there are no inverse roots for dimension 0 of [w]: a gradient was not finite"),
                            refused.getMessage());
                    assertTrue(Arrays.stream(values(named.value())).allMatch(x -> x == 1));
                }
            }
        }
    }

    @Test
    void whatIsRefused() {
        Engine engine = TestEngines.reference();
        Tensor transposed = Tensor.of(arena.allocate(96, 8), DType.FLOAT64, new long[] {3, 4}, new long[] {1, 3});
        Parameter columns = Parameter.of("w", transposed);
        assertTrue(refusal(() -> new Shampoo(engine, List.of(columns), ADAM)).contains("expected row-major order"));
        assertTrue(refusal(() -> ADAM.withPreconditioning(3, 2)).contains("Invalid start_preconditioning_step value: 2"));
        assertTrue(refusal(() -> ADAM.withEpsilon(0)).contains("Invalid epsilon value: 0.0. Must be > 0.0."));
        assertTrue(refusal(() -> ADAM.withBetas(1, 1)).contains("Invalid betas[0] value: 1.0"));
        assertTrue(refusal(() -> ADAM.withGrafting(Grafting.ADAM, 0, 1e-8)).contains("Invalid grafting beta2 parameter: 0.0"));
        OptionalDouble none = OptionalDouble.empty();
        assertTrue(refusal(() -> ADAM.withInverseExponentOverride(new Exponents(none, OptionalDouble.of(0.3), none, none))
                .withRootInv(RootInv.COUPLED_NEWTON)).contains("must be a whole number"));
        try (Shampoo shampoo = new Shampoo(engine, List.of(parameter(1, 3, 5)), ADAM)) {
            shampoo.step();
            shampoo.paramGroups().getFirst().set("max_preconditioner_dim", 4L);
            shampoo.paramGroups().getFirst().params().getFirst().gradient(null);
            shampoo.step();
            shampoo.paramGroups().getFirst().params().getFirst().gradient(parameter(1, 3, 5).gradient());
            assertTrue(refusal(shampoo::step).contains("cannot change after the first step"));
        }
    }

    private static String refusal(Runnable refused) {
        return assertThrows(PanoptimException.class, refused::run).getMessage();
    }

    // ---- Help

    private static double distance(double[] from, double[] to) {
        return Math.sqrt(IntStream.range(0, from.length).mapToDouble(i -> (from[i] - to[i]) * (from[i] - to[i])).sum());
    }

    private static double[] multiply(double[] a, double[] b, int rows, int inner, int columns) {
        double[] c = new double[rows * columns];
        for (int i = 0; i < rows; i++) {
            for (int k = 0; k < inner; k++) {
                for (int j = 0; j < columns; j++) {
                    c[i * columns + j] += a[i * inner + k] * b[k * columns + j];
                }
            }
        }
        return c;
    }

    /** Of ones, with gradients that are all the same. */
    private Parameter parameter(double gradient, long... shape) {
        return Parameter.of(constant(1, shape)).gradient(constant(gradient, shape));
    }
}
