package io.panoptim.engine;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.OnAllEngines;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.golden.GoldenInputs;
import io.panoptim.golden.GoldenInputs.Format;
import io.panoptim.golden.GoldenInputs.Kind;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Map and reduce over the columns of tables, with and without a rule. */
@Tag("native")
class ColumnsTest extends OnAllEngines {
    private static final long[] SIZES = {0, 1, 3, 17, 511, 1027, 100_003};
    private static final io.panoptim.engine.Stream ONLY = io.panoptim.engine.Stream.DEFAULT;
    private static final int LEFT = Column.STATE;
    private static final int RIGHT = Column.AVERAGE;

    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    // ---- Tensors of some type, at odd places, with inputs that depend on the seed only

    private Tensor tensor(DType dtype, long elements, int place) {
        long bytes = elements * dtype.bytes();
        return Tensor.of(arena.allocate(bytes + 64, 64).asSlice((2 * place + 1) * dtype.bytes() % 64, bytes), dtype, elements);
    }

    private Tensor filled(DType dtype, long elements, Kind kind, int seed) {
        Tensor tensor = tensor(dtype, elements, seed);
        GoldenInputs.fill(tensor.segment(), Format.of(dtype.toString()), kind, seed, GoldenInputs.Stream.GRAD, seed, 3);
        return tensor;
    }

    private Tensor of(DType dtype, double... values) {
        Tensor tensor = tensor(dtype, values.length, 0);
        for (int i = 0; i < values.length; i++) {
            tensor.set(i, values[i]);
        }
        return tensor;
    }

    private TensorEntry entry(String name, Tensor left, Tensor right, long id) {
        return new TensorEntry(name, tensor(left.dtype(), left.elements(), 0), null, List.of(left), Map.of(RIGHT, right), 0, 0,
                left.elements(), id, 1);
    }

    /** Tensors of all sizes; one has no right column, and one neither. */
    private List<TensorEntry> entries(DType left, DType right, Kind kind) {
        List<TensorEntry> entries = new ArrayList<>();
        for (int i = 0; i < SIZES.length; i++) {
            entries.add(entry("t" + SIZES[i], filled(left, SIZES[i], kind, i), filled(right, SIZES[i], kind, 50 + i), i));
        }
        entries.add(new TensorEntry("left only", tensor(left, 40, 0), null, List.of(filled(left, 40, kind, 90)), 90));
        entries.add(new TensorEntry("neither", filled(left, 40, kind, 91), null, List.of(), 91));
        return entries;
    }

    private static List<Tensor> column(List<TensorEntry> entries, int column) {
        return entries.stream().flatMap(entry -> column == LEFT ? entry.states().stream()
                : Stream.ofNullable(entry.others().get(column))).toList();
    }

    static List<Arguments> types() {
        List<Arguments> types = new ArrayList<>();
        List<DType> floats = List.of(DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16);
        for (Kind kind : List.of(Kind.NORMAL, Kind.WIDE, Kind.SPECIAL)) {
            floats.forEach(left -> floats.forEach(right -> types.add(Arguments.of(left, right, kind))));
            types.add(Arguments.of(DType.FLOAT64, DType.FLOAT64, kind));
        }
        return types;
    }

    private static List<MapOperation> operations() {
        return List.of(MapOperation.scale(LEFT, 1 / 3.0), MapOperation.axpy(LEFT, -0.1, RIGHT), MapOperation.lerp(LEFT, RIGHT, 0.3),
                MapOperation.lerp(LEFT, RIGHT, 0.7), MapOperation.clamp(LEFT, -0.01, 0.1), MapOperation.scale(RIGHT, -1),
                MapOperation.cast(RIGHT, LEFT), MapOperation.axpy(RIGHT, 1e-3, LEFT), MapOperation.zero(LEFT));
    }

    @ParameterizedTest
    @MethodSource("types")
    void everyEngineMapsToTheSameBits(DType left, DType right, Kind kind) {
        List<TensorEntry> expected = entries(left, right, kind);
        List<List<TensorEntry>> copies = engines.stream().map(engine -> entries(left, right, kind)).toList();
        try (Table reference = TestEngines.reference().table(expected)) {
            List<Table> tables = IntStream.range(0, engines.size()).mapToObj(i -> engines.get(i).table(copies.get(i))).toList();
            for (MapOperation operation : operations()) {
                TestEngines.reference().map(reference, operation, ONLY);
                for (int i = 0; i < engines.size(); i++) {
                    engines.get(i).map(tables.get(i), operation, ONLY);
                    for (int column : new int[] {LEFT, RIGHT}) {
                        List<Tensor> tensors = column(copies.get(i), column);
                        List<Tensor> oracle = column(expected, column);
                        assertEquals(oracle.size(), tensors.size());
                        for (int k = 0; k < oracle.size(); k++) {
                            Bits.assertSame(oracle.get(k), tensors.get(k), operation + ", " + engines.get(i).description());
                        }
                    }
                }
            }
            tables.forEach(Table::close);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void theArithmeticIsThatOfTorchsCalls(String name) {
        Engine engine = TestEngines.named(name);
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64)) {
            double t = round(dtype, 0.1);
            double s = round(dtype, 0.7);
            double a = round(dtype, 1 / 3.0);
            double far = round(dtype, 0.9);
            assertEquals(0, mapped(engine, dtype, t, s, MapOperation.zero(LEFT)));
            assertEquals(round(dtype, t * a), mapped(engine, dtype, t, s, MapOperation.scale(LEFT, 1 / 3.0)));
            assertEquals(s, mapped(engine, dtype, t, s, MapOperation.cast(LEFT, RIGHT)));
            assertEquals(fma(dtype, a, s, t), mapped(engine, dtype, t, s, MapOperation.axpy(LEFT, 1 / 3.0, RIGHT)));
            double difference = round(dtype, s - t);
            assertEquals(fma(dtype, a, difference, t), mapped(engine, dtype, t, s, MapOperation.lerp(LEFT, RIGHT, 1 / 3.0)));
            assertEquals(fma(dtype, round(dtype, far - 1), difference, s), mapped(engine, dtype, t, s, MapOperation.lerp(LEFT, RIGHT, 0.9)));
        }
        assertEquals(0, Double.compare(0.0, mapped(engine, DType.FLOAT32, -1, 1, MapOperation.zero(LEFT))));
        assertTrue(Double.isNaN(mapped(engine, DType.FLOAT32, Double.NaN, 1, MapOperation.clamp(LEFT, -1, 1))));
        assertEquals(1, mapped(engine, DType.FLOAT32, Double.POSITIVE_INFINITY, 1, MapOperation.clamp(LEFT, -1, 1)));
        assertEquals(0, Double.compare(-0.0, mapped(engine, DType.FLOAT32, -0.0, 1, MapOperation.clamp(LEFT, 0, 1))));
        assertEquals(-2, mapped(engine, DType.FLOAT32, 0, 1, MapOperation.clamp(LEFT, 2, -2)), "the upper bound holds");
    }

    private static double round(DType dtype, double value) {
        return dtype == DType.FLOAT64 ? value : (float) value;
    }

    private static double fma(DType dtype, double a, double b, double c) {
        return dtype == DType.FLOAT64 ? Math.fma(a, b, c) : Math.fma((float) a, (float) b, (float) c);
    }

    private double mapped(Engine engine, DType dtype, double t, double s, MapOperation operation) {
        Tensor target = of(dtype, t);
        try (Table table = engine.table(List.of(entry("t", target, of(dtype, s), 0)))) {
            engine.map(table, operation, ONLY);
        }
        return target.get(0);
    }

    // ---- Reductions

    private static double reduce(Engine engine, List<TensorEntry> entries, Reduction reduction) {
        try (Table table = engine.table(entries)) {
            return engine.reduce(table, reduction, ONLY).get();
        }
    }

    private static List<Reduction> reductions() {
        return List.of(Reduction.dot(LEFT, RIGHT), Reduction.dot(LEFT, LEFT), Reduction.norm(LEFT, 1), Reduction.norm(RIGHT, 2),
                Reduction.norm(LEFT, 3), Reduction.norm(RIGHT, 0.5), Reduction.norm(LEFT, 2).times(0.3), Reduction.norm(LEFT, 2.5).times(3),
                Reduction.norm(LEFT, Double.POSITIVE_INFINITY), Reduction.absoluteMaximum(RIGHT));
    }

    @ParameterizedTest
    @MethodSource("types")
    void everyEngineReducesToTheSameBits(DType left, DType right, Kind kind) {
        List<TensorEntry> entries = entries(left, right, kind);
        for (Reduction reduction : reductions()) {
            double expected = reduce(TestEngines.reference(), entries, reduction);
            for (Engine engine : engines) {
                assertSameBits(expected, reduce(engine, entries, reduction), reduction + ", " + engine.description());
            }
        }
    }

    private static void assertSameBits(double expected, double actual, String what) {
        assertEquals(Double.doubleToLongBits(expected), Double.doubleToLongBits(actual),
                () -> what + ": " + expected + " and " + actual);
    }

    /** The definition once more, in decimal arithmetic: lanes within a leaf, then an exact sum of what is left of each leaf's sum. */
    @ParameterizedTest
    @CsvSource({"FLOAT32, NORMAL", "FLOAT32, WIDE", "FLOAT64, NORMAL", "FLOAT64, WIDE", "BFLOAT16, NORMAL", "FLOAT16, NORMAL"})
    void aDotProductIsTheExactSumOfItsLeaves(DType dtype, Kind kind) {
        List<TensorEntry> entries = entries(dtype, dtype, kind).subList(0, SIZES.length);
        if (kind == Kind.WIDE && dtype == DType.FLOAT64) { // without overflow
            for (TensorEntry entry : entries) {
                Tensor left = entry.states().getFirst();
                for (long i = 0; i < left.elements(); i++) {
                    left.set(i, left.get(i) * 0x1p-400);
                }
            }
        }
        List<Double> leaves = new ArrayList<>();
        BigDecimal products = BigDecimal.ZERO;
        BigDecimal magnitudes = BigDecimal.ZERO;
        for (TensorEntry entry : entries) {
            Tensor left = entry.states().getFirst();
            Tensor right = entry.others().get(RIGHT);
            for (long begin = 0; begin < left.elements(); begin += 1024) {
                double[] lanes = new double[128];
                for (long i = begin; i < Math.min(begin + 1024, left.elements()); i++) {
                    lanes[(int) (i % 128)] += left.get(i) * right.get(i);
                    BigDecimal product = new BigDecimal(left.get(i)).multiply(new BigDecimal(right.get(i)));
                    products = products.add(product);
                    magnitudes = magnitudes.add(product.abs());
                }
                for (int half = 64; half > 0; half /= 2) {
                    for (int lane = 0; lane < half; lane++) {
                        lanes[lane] += lanes[lane + half];
                    }
                }
                leaves.add(lanes[0]);
            }
        }
        int exponent = leaves.stream().mapToInt(Math::getExponent).max().orElseThrow();
        BigDecimal unit = new BigDecimal(2).pow(Math.abs(exponent - 90));
        BigDecimal sum = leaves.stream().map(BigDecimal::new).map(leaf -> exponent < 90 ? leaf.multiply(unit) : leaf.divide(unit))
                .map(leaf -> new BigDecimal(leaf.toBigInteger())).reduce(BigDecimal.ZERO, BigDecimal::add);
        double expected = (exponent < 90 ? sum.divide(unit) : sum.multiply(unit)).doubleValue();
        assertTrue(expected != 0 && Double.isFinite(expected), "this test would prove nothing");
        // each term takes part in at most 8 sums of a lane and 7 of lanes, and may be rounded itself, as the result is
        assertTrue(new BigDecimal(expected).subtract(products).abs().compareTo(magnitudes.multiply(new BigDecimal(17 * 0x1p-53))) <= 0);
        for (Engine engine : engines) {
            assertSameBits(expected, reduce(engine, entries, Reduction.dot(LEFT, RIGHT)), engine.description());
        }
        assertSameBits(expected, reduce(TestEngines.reference(), entries, Reduction.dot(LEFT, RIGHT)), "reference");
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void leavesThatCancelLeaveWhatIsExact(String name) {
        Tensor left = tensor(DType.FLOAT64, 3 * 1024, 0);
        left.set(0, 1e300);
        left.set(1024, 1);
        left.set(2048, -1e300);
        Tensor ones = tensor(DType.FLOAT64, 3 * 1024, 1);
        fill(ones, 1);
        List<TensorEntry> entries = List.of(entry("w", left, ones, 0));
        // 1 is cut off beside 1e300; beside 2^60 it is not
        assertEquals(0, reduce(TestEngines.named(name), entries, Reduction.dot(LEFT, RIGHT)));
        left.set(0, 0x1p60);
        left.set(2048, -0x1p60);
        assertEquals(1, reduce(TestEngines.named(name), entries, Reduction.dot(LEFT, RIGHT)));
        assertEquals(0x1p61, reduce(TestEngines.named(name), entries, Reduction.norm(LEFT, 1)));
    }

    private static void fill(Tensor tensor, double value) {
        TestEngines.reference().fill(tensor, value, ONLY);
    }

    @Test
    void neitherTheOrderOfTensorsNorSlicesMatter() {
        List<TensorEntry> entries = entries(DType.FLOAT32, DType.BFLOAT16, Kind.NORMAL);
        List<TensorEntry> shuffled = new ArrayList<>(entries);
        Collections.reverse(shuffled);
        List<TensorEntry> sliced = new ArrayList<>(entries);
        TensorEntry whole = sliced.remove(6);
        sliced.addFirst(range(whole, 7 * 1024, whole.value().elements()));
        sliced.add(range(whole, 0, 7 * 1024));
        for (Reduction reduction : reductions()) {
            double expected = reduce(TestEngines.reference(), entries, reduction);
            for (Engine engine : List.of(TestEngines.reference(), engines.getFirst(), engines.getLast())) {
                assertSameBits(expected, reduce(engine, shuffled, reduction), reduction + ", reversed");
                assertSameBits(expected, reduce(engine, sliced, reduction), reduction + ", sliced");
            }
        }
    }

    /** A slice is a tensor of its own over a part of the memory. */
    private static TensorEntry range(TensorEntry whole, long begin, long end) {
        Map<Integer, Tensor> others = new HashMap<>();
        whole.others().forEach((column, tensor) -> others.put(column, part(tensor, begin, end)));
        return new TensorEntry(whole.name(), part(whole.value(), begin, end), null,
                whole.states().stream().map(state -> part(state, begin, end)).toList(), others, begin, 0, end - begin, whole.id(), 1);
    }

    private static Tensor part(Tensor tensor, long begin, long end) {
        return Tensor.of(tensor.segment().asSlice(begin * tensor.dtype().bytes()), tensor.dtype(), end - begin);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void whatIsNotFiniteShows(String name) {
        Engine engine = TestEngines.named(name);
        double inf = Double.POSITIVE_INFINITY;
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16)) {
            List<TensorEntry> infinite = List.of(entry("a", of(dtype, 1, -inf, 2), of(dtype, 1, 1, 1), 0));
            assertEquals(-inf, reduce(engine, infinite, Reduction.dot(LEFT, RIGHT)));
            assertEquals(inf, reduce(engine, infinite, Reduction.norm(LEFT, 1)));
            assertEquals(inf, reduce(engine, infinite, Reduction.norm(LEFT, 2)));
            assertEquals(inf, reduce(engine, infinite, Reduction.absoluteMaximum(LEFT)));
            List<TensorEntry> nan = List.of(entry("a", of(dtype, 1, Double.NaN, 2), of(dtype, 1, 1, 1), 0),
                    entry("b", of(dtype, inf, 2), of(dtype, 1, 1), 1));
            for (Reduction reduction : reductions().stream().filter(r -> r.left() == LEFT).toList()) {
                assertTrue(Double.isNaN(reduce(engine, nan, reduction)), reduction + " " + dtype);
            }
            List<TensorEntry> both = List.of(entry("a", of(dtype, inf), of(dtype, 1), 0), entry("b", of(dtype, -inf), of(dtype, 1), 1));
            assertTrue(Double.isNaN(reduce(engine, both, Reduction.dot(LEFT, RIGHT))));
            assertEquals(inf, reduce(engine, both, Reduction.norm(LEFT, inf)));
        }
        List<TensorEntry> large = List.of(entry("a", of(DType.FLOAT64, 1e200), of(DType.FLOAT64, 1), 0));
        assertEquals(inf, reduce(engine, large, Reduction.norm(LEFT, 2)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void overNothingAReductionIsZero(String name) {
        Engine engine = TestEngines.named(name);
        for (Reduction reduction : reductions()) {
            assertEquals(0, Double.compare(0.0, reduce(engine, List.of(), reduction)));
            assertEquals(0, Double.compare(0.0, reduce(engine, entries(DType.FLOAT32, DType.FLOAT32, Kind.NORMAL).subList(0, 1),
                    reduction)));
            assertEquals(0, Double.compare(0.0, reduce(engine, entries(DType.FLOAT32, DType.FLOAT32, Kind.NORMAL).subList(8, 9),
                    reduction)), "a tensor without the column");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void tablesWithARuleHaveColumnsTooWhetherTheyStepOrNot(String name) {
        Engine engine = TestEngines.named(name);
        TensorEntry a = new TensorEntry("a", of(DType.FLOAT32, 1, 2), of(DType.FLOAT32, 3, 4), List.of(), 0);
        TensorEntry b = new TensorEntry("b", of(DType.FLOAT32, 10), null, List.of(), 1);
        try (Table table = engine.table(Rule.SGD, List.of(a, b))) {
            assertEquals(13, reduceIn(engine, table, Reduction.norm(Column.VALUE, 1)));
            assertEquals(7, reduceIn(engine, table, Reduction.norm(Column.GRADIENT, 1)));
            table.classes(new int[] {0, Table.ABSENT});
            engine.map(table, MapOperation.scale(Column.VALUE, 2), ONLY);
            assertEquals(20, b.value().get(0));
            engine.map(table, MapOperation.zero(Column.GRADIENT), ONLY);
            assertEquals(0, a.gradient().get(1));
            Map<Integer, Tensor> gone = new HashMap<>();
            gone.put(0, null);
            table.point(Column.GRADIENT, Map.of(1, of(DType.FLOAT32, 5)));
            table.point(Column.GRADIENT, gone);
            assertEquals(5, reduceIn(engine, table, Reduction.norm(Column.GRADIENT, 1)));
        }
    }

    private static double reduceIn(Engine engine, Table table, Reduction reduction) {
        return engine.reduce(table, reduction, ONLY).get();
    }

    /** A rule that takes sums over rows, which no engine is asked to step by here: its chunks are whole rows, and its leaves begin with them. */
    private static Rule byRow() {
        return new Rule(Rule.LAMB.id(), "by_row", List.of("state"), List.of(""), 1, List.of("shared"), List.of(), List.of(),
                new RuleSums(RuleSums.Over.ROW, 0, 1, List.of("sum"), List.of("reduced")), "engines");
    }

    @Test
    void howARuleTakesTensorsApartDoesNotMatter() {
        List<Engine> all = new ArrayList<>(engines);
        all.removeIf(engine -> engine.name().equals("cuda")); // it has no kernels of the rule
        all.add(TestEngines.reference());
        Tensor value = Tensor.of(filled(DType.FLOAT32, 3 * 1500, Kind.NORMAL, 1).segment(), DType.FLOAT32, 3, 1500);
        Tensor state = Tensor.of(filled(DType.BFLOAT16, 3 * 1500, Kind.NORMAL, 2).segment(), DType.BFLOAT16, 3, 1500);
        TensorEntry rows = new TensorEntry("w", value, null, List.of(state, tensor(DType.FLOAT64, 3, 0)), 0, 3);
        double expected = reduce(TestEngines.reference(), List.of(new TensorEntry("w", value, null, List.of(state), 0)),
                Reduction.dot(Column.VALUE, LEFT));
        for (Engine engine : all) {
            try (Table table = engine.table(byRow(), List.of(rows))) {
                assertSameBits(expected, reduceIn(engine, table, Reduction.dot(Column.VALUE, LEFT)), engine.description());
                refused(Code.INVALID, "Engine.reduce: the state 1 of 'w' is shared by its elements",
                        () -> reduceIn(engine, table, Reduction.norm(LEFT + 1, 1)));
                refused(Code.INVALID, "Engine.map: the state 1 of 'w' is shared by its elements",
                        () -> engine.map(table, MapOperation.zero(LEFT + 1), ONLY));
            }
        }
    }

    // ---- What is refused

    @Test
    void operationsAndReductionsThatCannotBe() {
        refused(Code.INVALID, "a norm of order p = -1.0: expected a positive number, or infinity", () -> Reduction.norm(0, -1));
        refused(Code.INVALID, "p = NaN", () -> Reduction.norm(0, Double.NaN));
        refused(Code.INVALID, "column 18 is none of a tensor's elements", () -> Reduction.absoluteMaximum(18));
        refused(Code.INVALID, "column -1", () -> Reduction.dot(0, -1));
        refused(Code.INVALID, "scales of state 1 is none", () -> MapOperation.zero(Column.SCALE + 1));
        refused(Code.INVALID, "AXPY from the gradient to itself", () -> MapOperation.axpy(1, 2, 1));
        refused(Code.INVALID, "the bounds of CLAMP are NaN and 1.0", () -> MapOperation.clamp(0, Double.NaN, 1));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void tablesWithoutARule(String name) {
        Engine engine = TestEngines.named(name);
        Tensor w = of(DType.FLOAT32, 1, 2);
        try (Table table = engine.table(List.of(new TensorEntry("w", w, of(DType.FLOAT32, 1, 1), List.of(), 0)))) {
            table.classes(new int[] {0});
            refused(Code.INVALID, "the table has no rule to step by",
                    () -> engine.step(table, new Rows(1), null, Extras.NONE, ONLY));
            refused(Code.INVALID, "the CPU has no streams",
                    () -> engine.map(table, MapOperation.zero(0), new io.panoptim.engine.Stream(1)));
        }
        refused(Code.INVALID, "'w' has 7 states: at most 6 are possible", () -> engine.table(List.of(new TensorEntry("w", w, null,
                Arrays.stream(new double[7]).mapToObj(zero -> of(DType.FLOAT32, 0, 0)).toList(), 0))));
        refused(Code.INVALID, "the average of 'w' is float32[1], the value float32[2]", () -> engine.table(List.of(
                new TensorEntry("w", w, null, List.of(), Map.of(RIGHT, of(DType.FLOAT32, 1)), 0, 0, 2, 0, 1))));
        refused(Code.INVALID, "the scales of state 0 of 'w' are there, but the state is not quantised", () -> engine.table(List.of(
                new TensorEntry("w", w, null, List.of(), Map.of(Column.SCALE, of(DType.FLOAT32, 1, 1)), 0, 0, 2, 0, 1))));
        refused(Code.INVALID, "overlaps the value of 'w'", () -> engine.table(List.of(
                new TensorEntry("w", w, null, List.of(w), 0))));
        refused(Code.UNSUPPORTED, "does not combine with a value of float32", () -> engine.table(List.of(
                new TensorEntry("w", w, null, List.of(of(DType.FLOAT64, 1, 1)), 0))));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void slicesThatCutALeafAreRefusedByReductionsOnly(String name) {
        Engine engine = TestEngines.named(name);
        Tensor value = tensor(DType.FLOAT32, 3000, 0);
        fill(value, 1);
        TensorEntry slice = new TensorEntry("slice", value, null, List.of(), Map.of(), 500, 1024, 2048, 0, 1);
        try (Table table = engine.table(List.of(slice))) {
            engine.map(table, MapOperation.scale(Column.VALUE, 3), ONLY);
            refused(Code.INVALID, "'slice' is cut within a leaf", () -> reduceIn(engine, table, Reduction.norm(Column.VALUE, 1)));
        }
        for (int i = 0; i < 3000; i++) {
            assertEquals(i >= 1024 && i < 2048 ? 3 : 1, value.get(i), "element " + i);
        }
        TensorEntry aligned = new TensorEntry("slice", value, null, List.of(), Map.of(), 24, 1000, 2500, 0, 1);
        assertEquals(24 + 1024 * 3 + 452, reduce(engine, List.of(aligned), Reduction.norm(Column.VALUE, 1)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void memoryThatIsClosedIsRefusedIfItIsNeeded(String name) {
        Engine engine = TestEngines.named(name);
        Arena gone = Arena.ofShared();
        TensorEntry a = new TensorEntry("a", of(DType.FLOAT32, 1), null, List.of(Tensor.of(gone, new float[] {1})), 0);
        try (Table table = engine.table(List.of(a))) {
            engine.map(table, MapOperation.axpy(Column.VALUE, 1, LEFT), ONLY);
            gone.close();
            refused(Code.CLOSED, "the state 0 of 'a' lies in an arena that was closed",
                    () -> engine.map(table, MapOperation.axpy(Column.VALUE, 1, LEFT), ONLY));
            refused(Code.CLOSED, "Engine.reduce: the state 0 of 'a'", () -> reduceIn(engine, table, Reduction.norm(LEFT, 2)));
            engine.map(table, MapOperation.scale(Column.VALUE, 3), ONLY);
            assertEquals(6, a.value().get(0));
            table.point(LEFT, Map.of(0, of(DType.FLOAT32, 2)));
            assertEquals(12, reduceIn(engine, table, Reduction.dot(LEFT, Column.VALUE)));
        }
        Tensor closed = Tensor.of(Arena.ofAuto(), new float[] {1});
        Engine other = name.equals("cpu") ? TestEngines.reference() : TestEngines.cpu();
        Table table = engine.table(List.of(new TensorEntry("a", closed, null, List.of(), 0)));
        refused(Code.INVALID, "built by another engine", () -> other.map(table, MapOperation.zero(0), ONLY));
        refused(Code.INVALID, "built by another engine", () -> reduceIn(other, table, Reduction.norm(0, 1)));
        table.close();
        refused(Code.CLOSED, "the table is closed", () -> engine.map(table, MapOperation.zero(0), ONLY));
        refused(Code.CLOSED, "the table is closed", () -> reduceIn(engine, table, Reduction.norm(0, 1)));
    }

    /** More arenas than a native call can keep open: it takes several, and a reduction is over all of them. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void anyNumberOfArenasIsGuarded(String name) {
        Engine engine = TestEngines.named(name);
        List<Arena> arenas = Stream.generate(Arena::ofShared).limit(30).toList();
        List<TensorEntry> entries = IntStream.range(0, 30).mapToObj(i -> new TensorEntry("t" + i,
                Tensor.of(arenas.get(i), new float[] {i}), null, List.of(Tensor.of(Arena.ofAuto(), new float[] {1})), i)).toList();
        try (Table table = engine.table(entries)) {
            engine.map(table, MapOperation.axpy(Column.VALUE, 1, LEFT), ONLY);
            assertEquals(30 * 31 / 2, reduceIn(engine, table, Reduction.dot(Column.VALUE, LEFT)));
            assertEquals(30, reduceIn(engine, table, Reduction.absoluteMaximum(Column.VALUE)));
            engine.map(table, MapOperation.scale(LEFT, 2), ONLY);
            assertEquals(60, reduceIn(engine, table, Reduction.norm(LEFT, 1)));
            arenas.get(29).close();
            refused(Code.CLOSED, "the value of 't29'",
                    () -> engine.map(table, MapOperation.zero(Column.VALUE), ONLY));
            assertEquals(1, entries.getFirst().value().get(0), "nothing was written");
        }
        arenas.subList(0, 29).forEach(Arena::close);
    }
}
