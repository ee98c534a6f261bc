package io.panoptim.optim;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.SgdRow;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A cautious group beside one that is not, and beside sparse gradients; and slices, whose sums cannot be taken. */
@Tag("native")
class CautionTest {
    private static final SGD.Options OPTIONS = SGD.Options.defaults().withLr(1).withMomentum(0.5);

    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    private Tensor vector(double... values) {
        Tensor tensor = Tensor.zeros(arena, DType.FLOAT32, values.length);
        for (int i = 0; i < values.length; i++) {
            tensor.set(i, values[i]);
        }
        return tensor;
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void onlyACautiousGroupLeavesOutWhereMomentumGoesAgainstTheGradient(String name) {
        Engine engine = TestEngines.named(name);
        Parameter cautious = Parameter.of("cautious", vector(0, 0, 0, 0)).gradient(vector(4, 4, 4, 4));
        Parameter plain = Parameter.of("plain", vector(0, 0, 0, 0)).gradient(vector(4, 4, 4, 4));
        try (SGD sgd = new SGD(engine, List.of(cautious), OPTIONS.withCaution(true))) {
            sgd.addParamGroup(List.of(plain), OPTIONS);
            sgd.step();
            cautious.gradient(vector(4, -1, -4, 0));
            plain.gradient(vector(4, -1, -4, 0));
            sgd.step(); // the momentum is 6, 1, -2, 2: half of it agrees
            assertEquals(List.of(-16.0, -4.0, 0.0, -4.0), values(cautious));
            assertEquals(List.of(-10.0, -5.0, -2.0, -6.0), values(plain));
            assertEquals(1, sgd.state(cautious).get("momentum_buffer").get(1));
            sgd.paramGroups().getFirst().set("caution", false);
            sgd.step();
            assertEquals(-23, cautious.value().get(0));
        }
    }

    private static List<Double> values(Parameter parameter) {
        return List.of(parameter.value().get(0), parameter.value().get(1), parameter.value().get(2), parameter.value().get(3));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aCautiousGroupStepsTogetherWithSparseGradientsOfOthers(String name) {
        Parameter cautious = Parameter.of("cautious", vector(0, 0)).gradient(vector(1, 0));
        Parameter sparse = Parameter.of("sparse", Tensor.zeros(arena, DType.FLOAT32, 2, 1));
        Tensor values = Tensor.zeros(arena, DType.FLOAT32, 1, 1);
        values.set(0, 3);
        sparse.sparseGradient(new SparseGradient(Tensor.of(arena.allocateFrom(ValueLayout.JAVA_LONG, 1), DType.INT64, 1), values));
        try (SGD sgd = new SGD(TestEngines.named(name), List.of(cautious), OPTIONS.withCaution(true))) {
            sgd.addParamGroup(List.of(sparse), OPTIONS);
            sgd.step();
            assertEquals(-2, cautious.value().get(0));
            assertEquals(-3, sparse.value().get(1));
            sgd.paramGroups().get(1).set("caution", true);
            refused("SGD: caution does not go with sparse gradients", sgd::step);
            assertEquals(-3, sparse.value().get(1));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aSliceThatCutsALeafCanBeSteppedButNotCautiously(String name) {
        Engine engine = TestEngines.named(name);
        Tensor value = vector(1, 1, 1, 1);
        TensorEntry slice = new TensorEntry("slice", value, vector(1, 1, 1, 1), List.of(vector(0, 0, 0, 0)), Map.of(), 5, 1, 3, 7, 1);
        try (Table table = engine.table(Rule.SGD, List.of(slice))) {
            table.classes(new int[] {0});
            Rows rows = new Rows(1).set(0, SgdRow.UNDAMPENED, 1).set(0, SgdRow.STEP_SIZE, -1);
            engine.step(table, rows, null, Extras.NONE, Stream.DEFAULT);
            assertEquals(0, value.get(2));
            rows.flags(0, SgdRow.CAUTIOUS);
            refused("'slice' is cut within a leaf", () -> engine.step(table, rows, null, Extras.NONE, Stream.DEFAULT));
            assertEquals(0, value.get(2));
            assertEquals(1, value.get(3));
        }
    }
}
