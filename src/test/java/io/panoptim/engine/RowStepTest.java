package io.panoptim.engine;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The verb for sparse gradients: what it refuses, whoever calls it, and how it stands beside dense gradients. */
@Tag("native")
class RowStepTest {
    private static final Rows ROWS = new Rows(2).set(0, SgdRow.STEP_SIZE, -1).set(1, SparseSgdRow.STEP_SIZE, -1);

    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    private Tensor ones(long... shape) {
        Tensor tensor = Tensor.zeros(arena, DType.FLOAT32, shape);
        for (long i = 0; i < tensor.elements(); i++) {
            tensor.set(i, 1);
        }
        return tensor;
    }

    private TensorEntry entry(String name, Tensor gradient, Tensor... states) {
        return new TensorEntry(name, ones(3, 2), gradient, List.of(states), 0);
    }

    private RowGradient gradient(int tensor, long row) {
        return new RowGradient(tensor, 1, sparse(row), false, false, null);
    }

    private SparseGradient sparse(long row) {
        Tensor indices = Tensor.zeros(arena, DType.INT64, 1);
        indices.set(0, row);
        return new SparseGradient(indices, ones(1, 2));
    }

    private static void step(Engine engine, Table table, RowGradient... gradients) {
        engine.stepRows(table, Rule.SPARSE_SGD, List.of(gradients), ROWS, null, Extras.NONE, Stream.DEFAULT);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void denseAndSparseGradientsAreUsedInOneStep(String name) {
        Engine engine = TestEngines.named(name);
        TensorEntry dense = entry("dense", ones(3, 2));
        TensorEntry sparse = entry("sparse", null);
        try (Table table = engine.table(Rule.SGD, List.of(dense, sparse))) {
            table.classes(new int[] {0, Table.ABSENT});
            step(engine, table, gradient(1, 2));
            assertEquals(0, dense.value().get(0));
            assertEquals(0, sparse.value().get(4));
            assertEquals(1, sparse.value().get(3));
            step(engine, table);
            assertEquals(-1, dense.value().get(0));
            assertEquals(0, sparse.value().get(4));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void rowsThatMoveAreToldByBits(String name) {
        Engine engine = TestEngines.named(name);
        Tensor value = ones(130, 1);
        Tensor buffer = ones(130, 1);
        Tensor moving = Tensor.zeros(arena, DType.INT64, RowGradient.words(130));
        assertEquals(3, moving.elements());
        moving.set(1, 1L << 5);
        Tensor index = Tensor.zeros(arena, DType.INT64, 1);
        index.set(0, 129);
        SparseGradient gradient = new SparseGradient(index, ones(1, 1));
        Rows rows = new Rows(1).set(0, SparseSgdRow.STEP_SIZE, -1).set(0, SparseSgdRow.UNDAMPENED, 1).set(0, SparseSgdRow.MOMENTUM, 0.5);
        try (Table table = engine.table(Rule.SGD, List.of(new TensorEntry("w", value, null, List.of(buffer), 0)))) {
            engine.stepRows(table, Rule.SPARSE_SGD, List.of(new RowGradient(0, 0, gradient, false, true, moving)), rows, null,
                    Extras.NONE, Stream.DEFAULT);
        }
        for (int row = 0; row < 130; row++) {
            assertEquals(row == 69 ? 0.5 : row == 129 ? -0.5 : 1, value.get(row), "row " + row);
            assertEquals(row == 69 ? 0.5 : row == 129 ? 1.5 : 1, buffer.get(row), "row " + row);
        }
        assertEquals(List.of(0.0, 32.0, 2.0), Arrays.asList(moving.get(0), moving.get(1), moving.get(2)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void whatDoesNotFitTheTableIsRefused(String name) {
        Engine engine = TestEngines.named(name);
        TensorEntry dense = entry("dense", ones(3, 2));
        TensorEntry sparse = entry("sparse", null);
        TensorEntry range = new TensorEntry("range", ones(3, 2), null, List.of(), Map.of(), 0, 2, 4, 0, 1);
        try (Table table = engine.table(Rule.SGD, List.of(dense, sparse, range))) {
            table.classes(new int[] {0, Table.ABSENT, Table.ABSENT});
            refused(Code.INVALID, "a sparse gradient is of tensor 3: expected one of 3", () -> step(engine, table, gradient(3, 0)));
            refused(Code.INVALID, "a sparse gradient is of tensor -1", () -> step(engine, table, gradient(-1, 0)));
            refused(Code.INVALID, "a sparse gradient is of tensor 0", () -> step(engine, table, gradient(0, 0)));
            refused(Code.INVALID, "a sparse gradient is of tensor 1: expected one of 3 that has no other gradient",
                    () -> step(engine, table, gradient(1, 0), gradient(1, 1)));
            refused(Code.UNSUPPORTED, "the sparse gradient of 'range': only a range", () -> step(engine, table, gradient(2, 0)));
            refused(Code.INVALID, "class 2 of 2 rows",
                    () -> step(engine, table, new RowGradient(1, 2, sparse(0), false, false, null)));
            Rows decaying = new Rows(2).keep(1, 0.5);
            refused(Code.UNSUPPORTED, "values do not decay in some rows only, and class 1 keeps 0.5", () -> engine.stepRows(table,
                    Rule.SPARSE_SGD, List.of(gradient(1, 0)), decaying, null, Extras.NONE, Stream.DEFAULT));
            refused(Code.UNSUPPORTED, "lamb takes sums over whole tensors: it has no sparse gradients", () -> engine.stepRows(table,
                    Rule.LAMB, List.of(gradient(1, 0)), ROWS, null, Extras.NONE, Stream.DEFAULT));
            refused(Code.INVALID, "'sparse' has 0 states, sparse_adam takes [exp_avg, exp_avg_sq]",
                    () -> engine.stepRows(table, Rule.SPARSE_ADAM, List.of(gradient(1, 0)), ROWS, null, Extras.NONE, Stream.DEFAULT));
            refused(Code.INVALID, "the gradient's values float32[1, 3] are not rows of the value float32[3, 2]", () -> step(engine, table,
                    new RowGradient(1, 1, new SparseGradient(sparse(0).indices(), ones(1, 3)), false, false, null)));
            refused(Code.INVALID, "the moving rows are int64[2]: expected 1 int64s", () -> step(engine, table,
                    new RowGradient(1, 1, sparse(0), false, false, Tensor.zeros(arena, DType.INT64, 2))));
            Tensor fixed = Tensor.of(Tensor.zeros(arena, DType.INT64, 1).segment().asReadOnly(), DType.INT64, 1);
            refused(Code.INVALID, "the moving rows lie in a read-only segment",
                    () -> step(engine, table, new RowGradient(1, 1, sparse(0), false, false, fixed)));
            refused(Code.INVALID, "'sparse': size is inconsistent with indices", () -> step(engine, table, gradient(1, 3)));
            refused(Code.INVALID, "1 rows for 2 classes", () -> {
                table.classes(new int[] {1, Table.ABSENT, Table.ABSENT});
                engine.stepRows(table, Rule.SPARSE_SGD, List.of(), new Rows(1), null, Extras.NONE, Stream.DEFAULT);
            });
        }
        assertEquals(1, dense.value().get(0));
        assertEquals(1, sparse.value().get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aMasterIsNotSteppedInSomeRowsOnly(String name) {
        Engine engine = TestEngines.named(name);
        Tensor half = Tensor.zeros(arena, DType.BFLOAT16, 3, 2);
        TensorEntry entry = new TensorEntry("half", half, null, List.of(), Map.of(Column.MASTER, ones(3, 2)), 0, 0, 6, 0, 1);
        try (Table table = engine.table(Rule.SGD, List.of(entry))) {
            refused(Code.UNSUPPORTED, "'half' has quantised states, or something beside its value", () -> step(engine, table, gradient(0, 0)));
        }
        assertEquals(0, half.get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void whatComesLaterAndWhatIsAnothersIsRefused(String name) {
        Engine engine = TestEngines.named(name);
        Engine other = name.equals("cpu") ? TestEngines.reference() : TestEngines.cpu();
        Table table = engine.table(Rule.SGD, List.of(entry("w", null)));
        List<RowGradient> gradients = List.of(gradient(0, 0));
        refused(Code.UNSUPPORTED, "the " + name + " engine does not have [ZERO_GRADIENT] with sparse gradients yet",
                () -> engine.stepRows(table, Rule.SPARSE_SGD, gradients, ROWS, null, Extras.of(Extras.Part.ZERO_GRADIENT), Stream.DEFAULT));
        refused(Code.INVALID, "the CPU has no streams",
                () -> engine.stepRows(table, Rule.SPARSE_SGD, gradients, ROWS, null, Extras.NONE, new Stream(1)));
        refused(Code.INVALID, "built by another engine", () -> step(other, table, gradient(0, 0)));
        table.close();
        refused(Code.CLOSED, "the table is closed", () -> step(engine, table, gradient(0, 0)));
    }
}
