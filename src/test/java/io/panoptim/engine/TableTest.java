package io.panoptim.engine;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a table refuses when it is built or pointed elsewhere, and what engines refuse by name. */
@Tag("native")
class TableTest {
    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    private Tensor vector(long elements) {
        return Tensor.zeros(arena, DType.FLOAT32, elements);
    }

    private TensorEntry entry(String name, Tensor... states) {
        return new TensorEntry(name, vector(4), vector(4), List.of(states), 0);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void statesMustFitTheRuleAndTheValue(String name) {
        Engine engine = TestEngines.named(name);
        refused(Code.INVALID, "has 1 states, adam takes [exp_avg, exp_avg_sq, max_exp_avg_sq]",
                () -> engine.table(Rule.ADAM, List.of(entry("w", vector(4)))));
        refused(Code.INVALID, "has 2 states, sgd takes", () -> engine.table(Rule.SGD, List.of(entry("w", vector(4), vector(4)))));
        refused(Code.INVALID, "the state 0 of 'w' is float32[5], the value float32[4]",
                () -> engine.table(Rule.SGD, List.of(entry("w", vector(5)))));
        refused(Code.UNSUPPORTED, "does not combine with a value of float32",
                () -> engine.table(Rule.SGD, List.of(entry("w", Tensor.zeros(arena, DType.FLOAT64, 4)))));
        refused(Code.INVALID, "lies on cuda:1, but the " + engine.name() + " engine works on cpu",
                () -> engine.table(Rule.SGD, List.of(entry("w", Tensor.ofAddress(64, arena, Device.cuda(1), DType.FLOAT32, 4)))));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aRefusedPointChangesNothing(String name) {
        Engine engine = TestEngines.named(name);
        TensorEntry a = entry("a");
        TensorEntry b = entry("b");
        try (Table table = engine.table(Rule.SGD, List.of(a, b))) {
            Map<Integer, Tensor> moved = new HashMap<>();
            moved.put(0, vector(4));
            moved.put(1, b.value());
            refused(Code.INVALID, "overlaps the value of 'b'", () -> table.point(Column.GRADIENT, moved));
            assertSame(a.gradient(), table.tensor(0, Column.GRADIENT));
            assertSame(b.gradient(), table.tensor(1, Column.GRADIENT));
            table.point(Column.GRADIENT, Map.of(0, b.gradient(), 1, a.gradient()));
            assertSame(b.gradient(), table.tensor(0, Column.GRADIENT));
            refused(Code.INVALID, "needs its value", () -> table.point(Column.VALUE, gone(0)));
            refused(Code.INVALID, "there is no gradient of a tensor 2", () -> table.point(Column.GRADIENT, Map.of(2, vector(4))));
            refused(Code.INVALID, "there is no state 0 of a tensor 0", () -> table.point(Column.STATE, Map.of(0, vector(4))));
            assertSame(a.value(), table.tensor(0, Column.VALUE));
        }
    }

    private static Map<Integer, Tensor> gone(int tensor) {
        Map<Integer, Tensor> moved = new HashMap<>();
        moved.put(tensor, null);
        return moved;
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aTensorWhoseGradientIsTakenAwayIsAbsent(String name) {
        Engine engine = TestEngines.named(name);
        TensorEntry a = entry("a");
        TensorEntry b = entry("b");
        a.gradient().set(0, 1);
        b.gradient().set(0, 1);
        try (Table table = engine.table(Rule.SGD, List.of(a, b))) {
            table.classes(new int[] {0, 0});
            table.point(Column.GRADIENT, gone(1));
            engine.step(table, new Rows(1).set(0, SgdRow.STEP_SIZE, -1), null, Extras.NONE, Stream.DEFAULT);
            assertEquals(-1, a.value().get(0));
            assertEquals(0, b.value().get(0));
            refused(Code.INVALID, "'b' has no gradient to step with", () -> table.classes(new int[] {0, 0}));
            refused(Code.INVALID, "-5 is no class", () -> table.classes(new int[] {0, -5}));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void onlyTensorsWithAClassAreStepped(String name) {
        Engine engine = TestEngines.named(name);
        TensorEntry a = entry("a");
        TensorEntry b = entry("b");
        a.gradient().set(3, 1);
        b.gradient().set(3, 1);
        try (Table table = engine.table(Rule.SGD, List.of(a, b))) {
            Rows rows = new Rows(2).set(1, SgdRow.STEP_SIZE, -1);
            table.classes(new int[] {Table.ABSENT, 1});
            engine.step(table, rows, null, Extras.of(Extras.Part.ZERO_GRADIENT), Stream.DEFAULT);
            assertEquals(0, a.value().get(3));
            assertEquals(-1, b.value().get(3));
            assertEquals(1, a.gradient().get(3));
            assertEquals(0, b.gradient().get(3));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aRangeOfATensorIsSteppedAlone(String name) {
        Engine engine = TestEngines.named(name);
        Tensor gradient = vector(3000);
        for (int i = 0; i < 3000; i++) {
            gradient.set(i, 1);
        }
        TensorEntry slice = new TensorEntry("slice", vector(3000), gradient, List.of(), Map.of(), 500, 1024, 2048, 0, 1);
        try (Table table = engine.table(Rule.SGD, List.of(slice))) {
            table.classes(new int[] {0});
            engine.step(table, new Rows(1).set(0, SgdRow.STEP_SIZE, -1), null, Extras.NONE,
                    Stream.DEFAULT);
        }
        for (int i = 0; i < 3000; i++) {
            assertEquals(i >= 1024 && i < 2048 ? -1 : 0, slice.value().get(i), "element " + i);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void streamsAndMissingRowsAreRefused(String name) {
        Engine engine = TestEngines.named(name);
        try (Table table = engine.table(Rule.SGD, List.of(entry("a")))) {
            Rows rows = new Rows(1);
            refused(Code.INVALID, "the CPU has no streams",
                    () -> engine.step(table, rows, null, Extras.NONE, new Stream(1)));
            table.classes(new int[] {1});
            refused(Code.INVALID, "1 rows for 2 classes",
                    () -> engine.step(table, rows, null, Extras.NONE, Stream.DEFAULT));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void columnsThatDoNotGoWithTheValueAreRefusedByName(String name) {
        Engine engine = TestEngines.named(name);
        TensorEntry compensated = new TensorEntry("w", vector(4), vector(4), List.of(), Map.of(Column.COMPENSATION, vector(4)), 0, 0, 4, 0, 1);
        refused(Code.INVALID, "the compensation of 'w' is float32, the value float32", () -> engine.table(Rule.SGD, List.of(compensated)));
        TensorEntry mastered = new TensorEntry("w", vector(4), vector(4), List.of(), Map.of(Column.MASTER, vector(4)), 0, 0, 4, 0, 1);
        refused(Code.INVALID, "a float32 master is for a value of a half type", () -> engine.table(Rule.SGD, List.of(mastered)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aTableOfAnotherEngineOrAClosedOneIsRefused(String name) {
        Engine engine = TestEngines.named(name);
        Engine other = engine.name().equals("cpu") ? TestEngines.reference() : TestEngines.cpu();
        Rows rows = new Rows(1);
        Table table = engine.table(Rule.SGD, List.of(entry("a")));
        refused(Code.INVALID, "built by another engine", () -> other.step(table, rows, null, Extras.NONE, Stream.DEFAULT));
        table.close();
        table.close();
        refused(Code.CLOSED, "the table is closed", () -> engine.step(table, rows, null, Extras.NONE, Stream.DEFAULT));
        refused(Code.CLOSED, "the table is closed", () -> table.classes(new int[] {0}));
        refused(Code.CLOSED, "the table is closed", () -> table.point(Column.GRADIENT, Map.of(0, vector(4))));
    }
}
