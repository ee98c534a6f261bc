package io.panoptim.engine;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.panoptim.Bits;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.RuleSums.Over;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The sums that rules take first are those that {@code kernels/leaf.h} defines, whoever computes which part. NovoGrad's second
 * moment shows a tensor's sum of squares after the first step; the numerator of D-Adaptation's SGD shows the sum, over all
 * tensors, of what the gradients are multiplied by.
 */
@Tag("native")
class SumsTest {
    private static final int LEAF = ChunkPlan.LEAF;
    private static final int LANES = 128;
    private static final RuleSums ROWS = new RuleSums(Over.ROW, 0, 3, List.of("sum"), List.of("mean"));

    private static List<Engine> engines = List.of();

    private final Arena arena = Arena.ofShared();
    private final Random random = new Random(7);

    @BeforeAll
    static void open() {
        engines = TestEngines.all();
        engines.addFirst(TestEngines.reference());
    }

    @AfterAll
    static void closeEngines() {
        TestEngines.close(engines);
    }

    @AfterEach
    void close() {
        arena.close();
    }

    static List<double[]> values() {
        Random random = new Random(11);
        List<double[]> values = new ArrayList<>();
        for (int size : new int[] {0, 1, 2, 127, 128, 129, 1023, 1024, 1025, 5000}) {
            values.add(random.doubles(size, -1, 1).toArray());
        }
        values.add(random.doubles(5000).map(x -> Math.scalb(x - 0.5, random.nextInt(2000) - 1000)).toArray());
        values.add(random.doubles(5000).map(x -> x * Double.MIN_VALUE * 1000).toArray());
        values.add(random.doubles(3000).map(x -> Math.scalb(x, -1030)).toArray());
        values.add(apart(1e16, 1, -1e16));
        values.add(apart(1e300, 1e-300, -1e300));
        values.add(apart(0x1p1023, -0x1p-1022, -0x1p1023));
        values.add(apart(0x1p100, 0x1p10, -0x1p100)); // the least that is not cut off
        values.add(apart(0x1p100, 0x1.8p10, -0x1p100));
        values.add(apart(-0x1p100, -0x1p9, 0x1p100));
        values.add(apart(-0.0, -0.0, -0.0));
        values.add(apart(Double.MAX_VALUE, Double.MAX_VALUE, 1));
        values.add(apart(Double.POSITIVE_INFINITY, 1, 1e300));
        values.add(apart(Double.NEGATIVE_INFINITY, 1, 2));
        values.add(apart(Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, 1));
        values.add(apart(1, Double.NaN, Double.POSITIVE_INFINITY));
        values.add(new double[] {Double.MAX_VALUE, -Double.MAX_VALUE, Double.MAX_VALUE});
        return values;
    }

    /** Numbers in different leaves. */
    private static double[] apart(double... numbers) {
        double[] values = new double[numbers.length * LEAF];
        for (int i = 0; i < numbers.length; i++) {
            values[i * LEAF + 7 * i] = numbers[i];
        }
        return values;
    }

    /** The definition, in arithmetic of its own: leaves in double, and their sum exactly but for a cut. */
    private static double sum(double... values) {
        List<Double> leaves = new ArrayList<>();
        for (int begin = 0; begin < values.length; begin += LEAF) {
            double[] lanes = new double[LANES];
            for (int i = begin; i < Math.min(begin + LEAF, values.length); i++) {
                lanes[i % LANES] += values[i];
            }
            for (int half = LANES / 2; half > 0; half /= 2) {
                for (int i = 0; i < half; i++) {
                    lanes[i] += lanes[i + half];
                }
            }
            leaves.add(lanes[0]);
        }
        if (!leaves.stream().allMatch(Double::isFinite)) {
            return leaves.stream().filter(leaf -> !Double.isFinite(leaf)).reduce(0.0, Double::sum);
        }
        int exponent = leaves.stream().mapToInt(leaf -> Math.max(Math.getExponent(leaf), -1022)).max().orElse(-1022);
        BigDecimal unit = exponent < 90 ? BigDecimal.ONE.divide(BigDecimal.TWO.pow(90 - exponent)) : BigDecimal.TWO.pow(exponent - 90);
        return leaves.stream().map(leaf -> new BigDecimal(leaf).divideToIntegralValue(unit)).reduce(BigDecimal.ZERO, BigDecimal::add)
                .multiply(unit).doubleValue();
    }

    @Test
    void theDefinitionIsWithinOneRoundingOfTheExactSumWhereLeavesAreExact() {
        assertEquals(1, sum(apart(1e16, 1, -1e16)));
        assertEquals(1e300 + 1, sum(apart(1e300, 1, 0)));
        assertEquals(0, sum(apart(1e300, 1e-300, -1e300)), "what is 2^90 times smaller than the largest is cut off");
    }

    @ParameterizedTest
    @MethodSource("values")
    void sumsOfProductsAreAsDefinedOnEveryEngine(double[] values) {
        double expected = 0 + sum(values);
        for (Engine engine : engines) {
            Sums sums = new Sums(engine, List.of(values), 1);
            assertEquals(expected, sums.numerator(), engine.description());
        }
    }

    @ParameterizedTest
    @MethodSource("values")
    void sumsOfSquaresAreAsDefinedOnEveryEngine(double[] values) {
        double expected = sum(Arrays.stream(values).map(x -> x * x).toArray());
        for (Engine engine : engines) {
            Squares squares = new Squares(engine, DType.FLOAT64, values, 1, LEAF * 99, List.of(0));
            assertEquals(expected, squares.sum(), engine.description());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"FLOAT32", "FLOAT64", "BFLOAT16", "FLOAT16"})
    void slicesOfATensorGiveTheBitsOfTheWholeInAnyOrder(DType dtype) {
        double[] values = random.doubles(100 * LEAF + 17).map(x -> Math.scalb(x - 0.5, random.nextInt(8))).toArray();
        Squares whole = new Squares(engines.getFirst(), dtype, values, 0, values.length, List.of(0));
        for (Engine engine : engines) {
            for (int size : new int[] {LEAF, 7 * LEAF, 40 * LEAF}) {
                List<Integer> order = new ArrayList<>(IntStream.range(0, Math.ceilDiv(values.length, size)).boxed().toList());
                Collections.shuffle(order, random);
                Squares slices = new Squares(engine, dtype, values, 3, size, order);
                assertEquals(whole.sum(), slices.sum(), engine.description());
                Bits.assertSame(whole.value(), slices.value(), engine.description());
            }
        }
    }

    @Test
    void theOrderOfTensorsAndWhereTheyLieDoNotMatter() {
        List<double[]> tensors = new ArrayList<>(IntStream.range(0, 40).mapToObj(i ->
                random.doubles(random.nextInt(5000)).map(x -> Math.scalb(x - 0.5, random.nextInt(60))).toArray()).toList());
        double expected = new Sums(engines.getFirst(), tensors, 0).numerator();
        for (Engine engine : engines) {
            for (int offset = 0; offset < 4; offset++) {
                Collections.shuffle(tensors, random);
                assertEquals(expected, new Sums(engine, tensors, offset).numerator(), engine.description());
            }
        }
    }

    @Test
    void absentTensorsTakeNoPart() {
        for (Engine engine : engines) {
            Sums sums = new Sums(engine, List.of(new double[] {100}, new double[] {1, 2}, new double[] {3}), 0);
            sums.table.classes(new int[] {Table.ABSENT, 0, 0});
            assertEquals(6, sums.numerator(), engine.description());
        }
    }

    @Test
    void tensorsPastTwoToTheThirtyOneArePlannedWithoutOverflow() {
        long elements = (1L << 40) + 17;
        List<TensorEntry> entries = List.of(planned(0, elements, 0), planned(0, 1, 1), planned(1L << 41, elements, 2));
        SumPlan plan = SumPlan.of(Rule.NOVOGRAD.sums(), entries);
        long leaves = (1L << 30) + 1;
        assertEquals(2 * leaves + 1, plan.leafCount());
        assertEquals(new SumPlan.Place(leaves + 1, 2, 1, elements), plan.places().get(2));
        assertEquals(new SumPlan.Group(0, 1, leaves, elements, 0, List.of(0)), plan.groups().getFirst());
        SumPlan all = SumPlan.of(Rule.DADAPT_SGD.sums(), entries);
        assertEquals(List.of(new SumPlan.Group(0, 1, 2 * leaves + 1, 2 * elements + 1, 0, List.of(0, 1, 2))), all.groups());
        assertEquals(1, all.reducedCount());
        SumPlan slices = SumPlan.of(Rule.NOVOGRAD.sums(), List.of(planned(1L << 40, 17, 5), planned(0, 1L << 40, 5)));
        assertEquals(List.of(new SumPlan.Group(0, 1, leaves, elements, 0, List.of(1, 0))), slices.groups());
        assertEquals(1L << 30, slices.places().getFirst().leaf());
    }

    @Test
    void rowsPastTwoToTheThirtyOneArePlannedWithoutOverflow() {
        long rows = 1L << 33;
        long columns = LEAF + 1;
        Tensor value = Tensor.ofAddress(64, arena, Device.cuda(1), DType.FLOAT32, rows, columns);
        TensorEntry entry = new TensorEntry("w", value, null, List.of(), 0, rows);
        SumPlan plan = SumPlan.of(ROWS, List.of(entry, planned(0, 0, 1)));
        assertEquals(2 * rows, plan.leafCount());
        assertEquals(rows + 1, plan.reducedCount());
        assertEquals(List.of(new SumPlan.Group(0, rows, 2, columns, 0, List.of(0))), plan.groups(), "nothing is empty");
        ChunkPlan.RowRange range = new ChunkPlan.RowRange(rows, columns);
        int chunk = 1 << 30;
        assertEquals(Math.ceilDiv(rows, chunk / columns), range.count(chunk));
        assertEquals((range.count(chunk) - 1) * (chunk / columns) * columns, range.start(range.count(chunk) - 1, chunk));
        ChunkPlan.RowRange long2 = new ChunkPlan.RowRange(3, (1L << 40) + 5);
        assertEquals(3 * 1025, long2.count(chunk));
        assertEquals(2 * long2.columns() + (1L << 40), long2.start(3 * 1025 - 1, chunk));
    }

    private TensorEntry planned(long origin, long elements, long id) {
        Tensor value = Tensor.ofAddress(64, arena, Device.cuda(1), DType.FLOAT32, elements);
        return new TensorEntry("t" + id, value, null, List.of(), Map.of(), origin, 0, elements, id, 1);
    }

    @Test
    void slicesThatAreCutWithinALeafAreRefused() {
        refused(Code.INVALID, "'t5' is cut within a leaf", () -> SumPlan.of(Rule.NOVOGRAD.sums(),
                List.of(planned(0, 1000, 5), planned(1000, 24, 5))));
        refused(Code.INVALID, "'t5' is cut within a leaf", () -> SumPlan.of(Rule.NOVOGRAD.sums(), List.of(planned(1000, 24, 5))));
        TensorEntry entry = planned(0, 5000, 3);
        TensorEntry inner = new TensorEntry("inner", entry.value(), null, List.of(), Map.of(), 0, 10, 5000, 3, 1);
        refused(Code.INVALID, "must be cut at multiples of 1024", () -> SumPlan.of(Rule.DADAPT_SGD.sums(), List.of(inner)));
        SumPlan.of(Rule.NOVOGRAD.sums(), List.of(planned(0, 1000, 5), planned(0, 24, 6)));
    }

    @Test
    void rowsOfSlicesAndOfOtherLayoutsAreRefused() {
        Rule rule = new Rule(Rule.all().size(), "rows", List.of(), List.of(), 0, List.of(), List.of(), List.of(), ROWS, "engines");
        Tensor value = Tensor.zeros(arena, DType.FLOAT32, 4, LEAF);
        TensorEntry slice = new TensorEntry("slice", value, null, List.of(), Map.of(), 0, LEAF, 2 * LEAF, 0, 4);
        refused(Code.UNSUPPORTED, "'slice' is a slice, and the rule takes sums over the rows of whole tensors",
                () -> new BareTable(rule, slice));
        TensorEntry moved = new TensorEntry("moved", value, null, List.of(), Map.of(), LEAF, 0, 4 * LEAF, 0, 4);
        refused(Code.UNSUPPORTED, "'moved' is a slice", () -> new BareTable(rule, moved));
        Tensor columns = Tensor.of(value.segment(), DType.FLOAT32, new long[] {4, LEAF}, new long[] {1, 4});
        refused(Code.INVALID, "the value of 'columns' is not in row-major order",
                () -> new BareTable(rule, new TensorEntry("columns", columns, null, List.of(), 0, 4)));
        new BareTable(rule, new TensorEntry("one row", columns, null, List.of(), 0, 1));
        new BareTable(rule, new TensorEntry("rows", value, null, List.of(), 0, 4));
    }

    /** A table that is checked, and that no engine carries out. */
    private static final class BareTable extends Table {
        BareTable(Rule rule, TensorEntry... entries) {
            super(TestEngines.reference(), true, rule, List.of(entries));
        }

        @Override
        protected void pointed(int tensor, int column) {}

        @Override
        protected void classesChanged() {}

        @Override
        protected void free() {}
    }

    private Tensor tensor(DType dtype, long offset, double[] values, int begin, int end) {
        long bytes = (end - begin) * dtype.bytes();
        Tensor tensor = Tensor.of(arena.allocate(bytes + 64, 64).asSlice(offset * dtype.bytes(), bytes), dtype, end - begin);
        for (int i = begin; i < end; i++) {
            tensor.set(i - begin, values[i]);
        }
        return tensor;
    }

    /** One step of NovoGrad on a tensor, in slices. */
    private final class Squares {
        final Tensor value;
        private final Tensor[] moments;

        /**
         * Steps.
         *
         * @param slice of so many elements, but for the last
         * @param order of the slices in the table
         */
        Squares(Engine engine, DType dtype, double[] gradient, int offset, int slice, List<Integer> order) {
            value = tensor(dtype, 0, gradient, 0, gradient.length);
            Tensor[] values = new Tensor[order.size()];
            moments = new Tensor[order.size()];
            List<TensorEntry> entries = new ArrayList<>();
            for (int i : order) {
                int begin = i * slice;
                int end = Math.min(begin + slice, gradient.length);
                values[i] = tensor(dtype, offset, gradient, begin, end);
                moments[i] = Tensor.zeros(arena, DType.FLOAT64, 2);
                entries.add(new TensorEntry("slice " + i, values[i], tensor(dtype, i % 3, gradient, begin, end),
                        List.of(Tensor.zeros(arena, dtype, end - begin), moments[i]), Map.of(), begin, 0, end - begin, 5, 1));
            }
            try (Table table = engine.table(Rule.NOVOGRAD, entries)) {
                table.classes(new int[order.size()]);
                Rows rows = new Rows(1).set(0, NovogradRow.EXP_AVG_WEIGHT, 1).set(0, NovogradRow.STEP_SIZE, -0.1)
                        .set(0, NovogradRow.EPS, 1e-3);
                engine.step(table, rows, null, Extras.NONE, Stream.DEFAULT);
            }
            for (int i = 0; i < values.length; i++) {
                value.segment().asSlice((long) i * slice * dtype.bytes(), values[i].bytes()).copyFrom(values[i].segment());
            }
        }

        Tensor value() {
            return value;
        }

        /** Of the slice that is first in the tensor, whose states are the tensor's. */
        double sum() {
            return moments[0].get(0);
        }
    }

    /** A step of D-Adaptation's SGD whose numerator is the sum of the gradients. */
    private final class Sums {
        final Table table;
        private final Engine engine;
        private final Tensor estimates = Tensor.of(arena.allocateFrom(ValueLayout.JAVA_DOUBLE, 1, 0, 1), DType.FLOAT64, 3);

        Sums(Engine engine, List<double[]> gradients, int offset) {
            this.engine = engine;
            List<TensorEntry> entries = new ArrayList<>();
            for (double[] gradient : gradients) {
                double[] ones = new double[gradient.length];
                Arrays.fill(ones, 1);
                entries.add(new TensorEntry("t", tensor(DType.FLOAT64, offset, gradient, 0, gradient.length),
                        tensor(DType.FLOAT64, entries.size() % 5, gradient, 0, gradient.length),
                        List.of(tensor(DType.FLOAT64, offset, ones, 0, ones.length), tensor(DType.FLOAT64, 0, ones, 0, ones.length),
                                estimates), entries.size()));
            }
            table = engine.table(Rule.DADAPT_SGD, entries);
            table.classes(new int[entries.size()]);
        }

        double numerator() {
            engine.step(table, new Rows(1).set(0, DadaptSgdRow.LR, 1), null, Extras.NONE, Stream.DEFAULT);
            table.close();
            return estimates.get(1);
        }
    }
}
