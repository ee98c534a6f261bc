package io.panoptim.engine;

import static io.panoptim.engine.Extras.Part.AVERAGE;
import static io.panoptim.engine.Extras.Part.CLIP;
import static io.panoptim.engine.Extras.Part.COPY;
import static io.panoptim.engine.Extras.Part.FLUSH_SUBNORMAL;
import static io.panoptim.engine.Extras.Part.SKIP;
import static io.panoptim.engine.Extras.Part.STATISTICS;
import static io.panoptim.engine.Extras.Part.UNSCALE;
import static io.panoptim.engine.Extras.Part.WRITE_GRADIENT;
import static io.panoptim.engine.Extras.Part.ZERO_GRADIENT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.MirrorEngine;
import io.panoptim.OnAllEngines;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What rides along with a step is the same on every engine, and what the separate operations would do one after the other. */
@Tag("native")
class ExtrasTest extends OnAllEngines {
    private static final io.panoptim.engine.Stream STREAM = io.panoptim.engine.Stream.DEFAULT;
    private static final int[] SIZES = {0, 1, 1023, 1024, 5001, 40_003};
    /** Where kernels run on the host. */
    private static final int[] FEW = {0, 1, 1023, 1024, 5001, 2050};
    private static final List<Extras> COMBINATIONS = List.of(
            Extras.NONE, Extras.of(UNSCALE), Extras.of(CLIP), Extras.of(UNSCALE, CLIP), Extras.of(CLIP, WRITE_GRADIENT),
            Extras.of(ZERO_GRADIENT), Extras.of(AVERAGE), Extras.of(COPY), Extras.of(FLUSH_SUBNORMAL), Extras.of(STATISTICS),
            Extras.of(CLIP, STATISTICS), Extras.of(SKIP, ZERO_GRADIENT), Extras.of(Extras.Part.values()),
            Extras.of(UNSCALE, CLIP, WRITE_GRADIENT, AVERAGE, COPY, FLUSH_SUBNORMAL, STATISTICS, SKIP));

    /** One way to store a tensor, and a rule. */
    record Storage(Rule rule, DType value, DType gradient, DType state, boolean master, DType copy) {}

    static Stream<Storage> storages() {
        return Stream.of(Rule.ADAM, Rule.LAMB, Rule.SGD).flatMap(rule -> Stream.of(
                new Storage(rule, DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, false, DType.BFLOAT16),
                new Storage(rule, DType.FLOAT64, DType.FLOAT64, DType.FLOAT64, false, DType.FLOAT64),
                new Storage(rule, DType.BFLOAT16, DType.BFLOAT16, DType.BFLOAT16, false, DType.FLOAT16),
                new Storage(rule, DType.FLOAT16, DType.FLOAT16, DType.FLOAT32, false, DType.FLOAT32),
                new Storage(rule, DType.BFLOAT16, DType.BFLOAT16, DType.FLOAT32, true, DType.FLOAT16),
                new Storage(rule, DType.FLOAT32, DType.BFLOAT16, DType.BFLOAT16, false, DType.FLOAT16)));
    }

    private static int[] sizes(Engine engine) {
        return engine instanceof MirrorEngine && TestEngines.isCudaSlow() ? FEW : SIZES;
    }

    /** Some tensors with everything that can ride along, on one engine. */
    private static final class Model implements AutoCloseable {
        final Engine engine;
        final Arena arena = Arena.ofShared();
        final Map<String, Tensor> tensors = new LinkedHashMap<>();
        final Table table;
        final Control control;
        final Rows rows = new Rows(2);
        final List<Tensor> gradients = new ArrayList<>();
        final int[] sizes;

        Model(Engine engine, Storage storage) {
            this(engine, storage, sizes(engine));
        }

        Model(Engine engine, Storage storage, int[] sizes) {
            this.engine = engine;
            this.sizes = sizes;
            this.control = engine.control();
            List<TensorEntry> entries = new ArrayList<>();
            Random random = new Random(5);
            int slots = storage.rule.states().size() - (storage.rule == Rule.ADAM ? 1 : 0);
            for (int i = 0; i < sizes.length; i++) {
                String name = "t" + i;
                Tensor value = tensor(name + ".value", storage.value, sizes[i], random, 1);
                Tensor gradient = tensor(name + ".gradient", storage.gradient, sizes[i], random, 3);
                List<Tensor> states = new ArrayList<>();
                for (int slot = 0; slot < slots; slot++) {
                    states.add(tensor(name + ".state" + slot, storage.state, sizes[i], random, slot == 1 ? 0 : 1e-38));
                }
                Map<Integer, Tensor> others = new LinkedHashMap<>();
                others.put(Column.AVERAGE, tensor(name + ".average", storage.value, sizes[i], random, 1));
                others.put(Column.COPY, tensor(name + ".copy", storage.copy, sizes[i], random, 1));
                if (storage.master) {
                    others.put(Column.MASTER, tensor(name + ".master", DType.FLOAT32, sizes[i], random, 1));
                }
                gradients.add(gradient);
                entries.add(new TensorEntry(name, value, gradient, states, others, 0, 0, sizes[i], i, 1));
            }
            table = engine.table(storage.rule, entries);
            table.classes(IntStream.range(0, sizes.length).map(i -> i % 2).toArray());
            fillRows(storage.rule);
        }

        private Tensor tensor(String name, DType dtype, int size, Random random, double scale) {
            Tensor tensor = Tensor.zeros(arena, dtype, size);
            for (int i = 0; i < size; i++) {
                tensor.set(i, random.nextGaussian() * scale);
            }
            tensors.put(name, tensor);
            return tensor;
        }

        private void fillRows(Rule rule) {
            for (int row = 0; row < 2; row++) {
                for (int i = 0; i < rule.scalars().size(); i++) {
                    rows.set(row, i, List.of(0.9, 0.5, 0.1, 0.999, 0.001, 1.5, 1e-3, -0.01, 0.2, 0.7, 0.3, 0.01).get(i % 12));
                }
                rows.average(row, row == 0 ? 0.001 : 0.7).keep(row, row == 0 ? 1 : 0.99);
            }
            if (rule == Rule.LAMB) {
                rows.flags(1, LambRow.ADAPT);
            }
        }

        void measure(Measurement measurement) {
            engine.measure(List.of(table), measurement, control, STREAM);
        }

        void map(MapOperation operation) {
            engine.map(table, operation, STREAM);
        }

        /** Averages by a table of its own for each tensor, since the weights differ. */
        void average() {
            for (int i = 0; i < sizes.length; i++) {
                TensorEntry entry = table.entry(i);
                TensorEntry alone = new TensorEntry(entry.name(), entry.value(), null, List.of(),
                        Map.of(Column.AVERAGE, entry.others().get(Column.AVERAGE)), 0, 0, sizes[i], i, 1);
                try (Table own = engine.table(List.of(alone))) {
                    engine.map(own, MapOperation.lerp(Column.AVERAGE, Column.VALUE, rows.average(i % 2)), STREAM);
                }
            }
        }

        void step(Extras extras) {
            engine.step(table, rows, control, extras, STREAM);
        }

        @Override
        public void close() {
            table.close();
            control.close();
            arena.close();
        }
    }

    private static final Measurement CLIPPED = new Measurement(2, 10, true, true);

    @ParameterizedTest
    @MethodSource("storages")
    void allPartsAreTheSameBitsOnEveryEngine(Storage storage) {
        for (Extras extras : COMBINATIONS) {
            for (boolean overflow : new boolean[] {false, true}) {
                if (overflow && !extras.has(SKIP)) {
                    continue;
                }
                for (int[] sizes : List.of(SIZES, FEW)) {
                    List<Engine> those = engines.stream().filter(engine -> sizes(engine) == sizes).toList();
                    if (!those.isEmpty() && (sizes == SIZES || storage.rule == Rule.ADAM || Integer.bitCount(extras.flags()) > 6)) {
                        compare(those, sizes, storage, extras, overflow);
                    }
                }
            }
        }
    }

    private static void compare(List<Engine> engines, int[] sizes, Storage storage, Extras extras, boolean overflow) {
        try (Model expected = run(TestEngines.reference(), sizes, storage, extras, overflow)) {
            for (Engine engine : engines) {
                try (Model actual = run(engine, sizes, storage, extras, overflow)) {
                    String what = engine.description() + " " + storage + " " + extras + (overflow ? " overflow" : "");
                    expected.tensors.forEach((name, tensor) -> Bits.assertSame(tensor, actual.tensors.get(name), what + " " + name));
                    assertEquals(expected.control.read(), actual.control.read(), what);
                    if (extras.has(STATISTICS)) {
                        assertArrayEquals(expected.table.statistics(), actual.table.statistics(), what);
                    }
                }
            }
        }
    }

    private static Model run(Engine engine, int[] sizes, Storage storage, Extras extras, boolean overflow) {
        Model model = new Model(engine, storage, sizes);
        model.control.scale(8, 0, 1, STREAM);
        for (int step = 0; step < 2; step++) {
            if (overflow && step == 1) {
                model.gradients.getLast().set(77, Double.NaN);
            }
            model.measure(CLIPPED);
            model.step(extras);
        }
        return model;
    }

    @ParameterizedTest
    @MethodSource("storages")
    void aStepThatIsSkippedTouchesNothingButGradients(Storage storage) {
        for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY}) {
            for (Engine engine : allEngines()) {
                try (Model untouched = new Model(TestEngines.reference(), storage, sizes(engine))) {
                    try (Model model = new Model(engine, storage)) {
                        model.gradients.get(3).set(1023, bad);
                        model.measure(CLIPPED);
                        model.step(Extras.of(Extras.Part.values()));
                        model.tensors.forEach((name, tensor) -> {
                            if (name.endsWith("gradient")) {
                                Bits.assertSame(Tensor.zeros(Arena.ofAuto(), tensor.dtype(), tensor.elements()), tensor, name);
                            } else {
                                Bits.assertSame(untouched.tensors.get(name), tensor, name);
                            }
                        });
                        assertTrue(model.control.read().foundInf());
                        assertEquals(1, model.control.read().skipped());
                        assertEquals(0, model.control.read().applied());
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {1, 2, 0.5f, -1, Float.NaN, Float.POSITIVE_INFINITY})
    void anyFoundInfButZeroSkipsTheStep(float foundInf) {
        Storage storage = new Storage(Rule.SGD, DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, false, DType.FLOAT32);
        for (Engine engine : allEngines()) {
            try (Model model = new Model(engine, storage); Model untouched = new Model(TestEngines.reference(), storage, sizes(engine))) {
                model.control.foundInf(foundInf, STREAM);
                model.step(Extras.of(SKIP)); // although nothing is unscaled
                Bits.assertSame(untouched.tensors.get("t4.value"), model.tensors.get("t4.value"), engine.description());
                model.control.foundInf(0, STREAM);
                model.step(Extras.of(SKIP));
                assertFalse(untouched.tensors.get("t4.value").segment().mismatch(model.tensors.get("t4.value").segment()) < 0);
            }
        }
    }

    @Test
    void theFusedStepIsWhatTheSeparateOperationsDoOneAfterTheOther() {
        Storage storage = new Storage(Rule.ADAM, DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, false, DType.BFLOAT16);
        for (Engine engine : allEngines()) {
            try (Model fused = new Model(engine, storage); Model separate = new Model(engine, storage)) {
                fused.control.scale(3, 0, 1, STREAM); // of which the inverse is not exact
                separate.control.scale(3, 0, 1, STREAM);
                fused.measure(new Measurement(2, 10, true, true));
                fused.step(Extras.of(UNSCALE, CLIP, AVERAGE, COPY, ZERO_GRADIENT));

                separate.map(MapOperation.scale(Column.GRADIENT, separate.control.read().inverseScale()));
                separate.measure(new Measurement(2, 10, false, true));
                separate.map(MapOperation.scale(Column.GRADIENT, separate.control.read().clip()));
                separate.step(Extras.NONE);
                separate.average();
                separate.map(MapOperation.cast(Column.COPY, Column.VALUE));
                separate.map(MapOperation.zero(Column.GRADIENT));

                assertEquals(separate.control.read().norm(), fused.control.read().norm());
                separate.tensors.forEach((name, tensor) -> Bits.assertSame(tensor, fused.tensors.get(name), engine.description() + name));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.5, 1, 2, 3, 2.5, Double.POSITIVE_INFINITY})
    void normsOfEveryOrderAreTheSameBitsOnEveryEngine(double p) {
        for (DType dtype : new DType[] {DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16}) {
            Storage storage = new Storage(Rule.SGD, dtype, dtype, dtype, false, dtype);
            for (Engine engine : engines) {
                try (Model expected = new Model(TestEngines.reference(), storage, sizes(engine))) {
                    expected.measure(new Measurement(p, 1, false, true));
                    double exact = norm(expected.gradients, p);
                    assertEquals(exact, expected.control.read().norm(), exact * 1e-13);
                    try (Model actual = new Model(engine, storage)) {
                        actual.measure(new Measurement(p, 1, false, true));
                        assertEquals(expected.control.read(), actual.control.read(), engine.description());
                    }
                }
            }
        }
    }

    private static double norm(List<Tensor> tensors, double p) {
        double sum = 0;
        for (Tensor tensor : tensors) {
            for (long i = 0; i < tensor.elements(); i++) {
                double a = Math.abs(tensor.get(i));
                sum = p == Double.POSITIVE_INFINITY ? Math.max(sum, a) : sum + Math.pow(a, p);
            }
        }
        return p == Double.POSITIVE_INFINITY ? sum : Math.pow(sum, 1 / p);
    }

    @Test
    void squaresThatOverflowAreNoOverflowOfTheGradients() {
        Storage storage = new Storage(Rule.SGD, DType.FLOAT64, DType.FLOAT64, DType.FLOAT64, false, DType.FLOAT64);
        for (Engine engine : allEngines()) {
            try (Model model = new Model(engine, storage)) {
                model.gradients.get(4).set(5000, 1e200);
                model.measure(new Measurement(2, 1, false, true));
                assertEquals(Double.POSITIVE_INFINITY, model.control.read().norm());
                assertFalse(model.control.read().foundInf());
            }
        }
    }

    @Test
    void tablesAreMeasuredTogether() {
        Storage storage = new Storage(Rule.SGD, DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, false, DType.FLOAT32);
        for (Engine engine : allEngines()) {
            try (Model a = new Model(engine, storage); Model b = new Model(engine, storage)) {
                a.measure(new Measurement(2, 1, false, true));
                double one = a.control.read().norm();
                engine.measure(List.of(a.table, b.table), new Measurement(2, 1, false, true), a.control, STREAM);
                assertEquals(Math.sqrt(2) * one, a.control.read().norm(), 1e-12 * one);
                assertEquals(2, a.control.read().applied());
                b.gradients.get(1).set(0, Double.NaN);
                engine.measure(List.of(a.table, b.table), new Measurement(2, 1, false, true), a.control, STREAM);
                assertTrue(a.control.read().foundInf());
                assertTrue(Double.isNaN(a.control.read().norm()));
            }
        }
    }

    @Test
    void theClipCoefficientIsTorchs() {
        // norm 5: (1 / (5 + 1e-6)) * 2 in float32 is not 2 / (5 + 1e-6)
        assertEquals((1f / (5f + 1e-6f)) * 2f, new Measurement(2, 2, false, false).clip(Arithmetic.FLOAT32, 5));
        assertEquals((1 / (5 + 1e-6)) * 2, new Measurement(2, 2, false, false).clip(Arithmetic.FLOAT64, 5));
        assertEquals(1, new Measurement(2, 6, false, false).clip(Arithmetic.FLOAT32, 5));
        assertTrue(Double.isNaN(new Measurement(2, 6, false, false).clip(Arithmetic.FLOAT32, Double.NaN)));
        assertEquals(0, new Measurement(2, 6, false, false).clip(Arithmetic.FLOAT32, Double.POSITIVE_INFINITY));
        assertEquals(1, new Measurement(2, Double.POSITIVE_INFINITY, false, false).clip(Arithmetic.FLOAT32, Double.NaN));
    }

    @Test
    void theScaleGrowsAndShrinksAsTorchs() {
        Scaling scaling = new Scaling(2, 0.5, 3, 1);
        for (Engine engine : allEngines()) {
            try (Control control = engine.control()) {
                control.scale(4, 0, 1, STREAM);
                control.update(scaling, STREAM);
                control.update(scaling, STREAM);
                assertEquals(2, control.read().growthTracker());
                control.update(scaling, STREAM);
                assertEquals(8, control.read().scale());
                assertEquals(0.125f, control.read().inverseScale());
                assertEquals(0, control.read().growthTracker());
                control.update(scaling, STREAM);
                control.foundInf(1, STREAM);
                control.update(scaling, STREAM);
                assertEquals(4, control.read().scale());
                assertEquals(0, control.read().growthTracker());
                assertFalse(control.read().foundInf());
                control.scale(Float.MAX_VALUE, 2, 1, STREAM);
                control.update(scaling, STREAM);
                assertEquals(Float.MAX_VALUE, control.read().scale(), "it does not grow to infinity");
            }
        }
    }

    @Test
    void hysteresisToleratesOverflows() {
        Scaling scaling = new Scaling(2, 0.5, 100, 3);
        for (Engine engine : allEngines()) {
            try (Control control = engine.control()) {
                control.scale(16, 0, 3, STREAM);
                float[] scales = {16, 16, 8, 4};
                for (float scale : scales) {
                    control.foundInf(1, STREAM);
                    control.update(scaling, STREAM);
                    assertEquals(scale, control.read().scale());
                }
                control.update(scaling, STREAM);
                control.foundInf(1, STREAM);
                control.update(scaling, STREAM);
                assertEquals(4, control.read().scale());
            }
        }
    }

    @Test
    void whatCannotBeDoneIsRefusedBeforeAnythingIsWritten() {
        Storage storage = new Storage(Rule.SGD, DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, false, DType.FLOAT32);
        for (Engine engine : allEngines()) {
            try (Model model = new Model(engine, storage); Model untouched = new Model(engine, storage)) {
                refused(Code.INVALID, "need the control block", () -> engine.step(model.table, model.rows, null, Extras.of(CLIP), STREAM));
                refused(Code.INVALID, "a loss scale of 0.0", () -> model.control.scale(0, 0, 1, STREAM));
                refused(Code.INVALID, "a loss scale of Infinity", () -> model.control.scale(Float.POSITIVE_INFINITY, 0, 1, STREAM));
                refused(Code.INVALID, "a loss scale of NaN", () -> model.control.scale(Float.NaN, 0, 1, STREAM));
                refused(Code.INVALID, "there was no step with statistics", model.table::statistics);
                model.control.close();
                refused(Code.CLOSED, "the control block is closed", () -> model.step(Extras.of(CLIP)));
                refused(Code.CLOSED, "the control block is closed", () -> model.measure(CLIPPED));
                untouched.tensors.forEach((name, tensor) -> Bits.assertSame(tensor, model.tensors.get(name), name));
            }
        }
        refused(Code.INVALID, "a norm of order 0.0", () -> new Measurement(0, 1, false, false));
        refused(Code.INVALID, "a maximum norm of NaN", () -> new Measurement(2, Double.NaN, false, false));
        refused(Code.INVALID, "a maximum norm of -1.0", () -> new Measurement(2, -1, false, false));
        refused(Code.INVALID, "The growth factor must be > 1.0", () -> new Scaling(1, 0.5, 1, 1));
        refused(Code.INVALID, "The backoff factor must be < 1.0", () -> new Scaling(2, 1, 1, 1));
    }

    private static void refused(Code code, String message, Runnable call) {
        PanoptimException refusal = assertThrows(PanoptimException.class, call::run);
        assertEquals(code, refusal.code());
        assertTrue(refusal.getMessage().contains(message), refusal.getMessage());
    }

    private static List<Engine> allEngines() {
        List<Engine> all = new ArrayList<>(engines);
        all.addFirst(TestEngines.reference());
        return all;
    }
}
