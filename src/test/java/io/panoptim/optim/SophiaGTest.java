package io.panoptim.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
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
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The Hessian's updates between steps. */
@Tag("native")
class SophiaGTest {
    private static final SophiaG.Options OPTIONS = SophiaG.Options.defaults().withLr(0.5).withBetas(0.5, 0.75)
            .withWeightDecay(0).withRho(0.5).withBs(8);

    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    private Parameter parameter(String name, double value, double gradient) {
        return Parameter.of(name, scalar(value)).gradient(scalar(gradient));
    }

    private Tensor scalar(double value) {
        Tensor tensor = Tensor.zeros(arena, DType.FLOAT64, 1);
        tensor.set(0, value);
        return tensor;
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void samplesGiveStateAndChangeNothingElse(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 4, 2);
        Parameter never = Parameter.of("never", scalar(3));
        try (SophiaG optimizer = new SophiaG(engine, List.of(p, never), OPTIONS)) {
            optimizer.updateHessian();
            assertEquals(4, p.value().get(0));
            assertEquals(0, optimizer.state(p).get("step").get(0));
            assertEquals(0, optimizer.state(p).get("exp_avg").get(0));
            assertEquals(0.25 * 4, optimizer.state(p).get("hessian").get(0));
            assertEquals(Map.of(), optimizer.state(never));
            assertEquals(0, optimizer.steps());
            optimizer.step(); // 1 / (0.5 * 8 * 1)
            assertEquals(1, optimizer.state(p).get("step").get(0));
            assertEquals(4 - 0.5 * 0.25, p.value().get(0), 1e-12);
        }
    }

    /** Parameters with and without a gradient, in a step and before the Hessian's update, in every order. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void parametersJoinByEither(String name) {
        Engine engine = TestEngines.named(name);
        Parameter first = parameter("first", 4, 2);
        Parameter second = Parameter.of("second", scalar(4));
        Parameter third = Parameter.of("third", scalar(4));
        try (SophiaG optimizer = new SophiaG(engine, List.of(first, second, third), OPTIONS)) {
            optimizer.step();
            first.gradient(null);
            second.gradient(scalar(4));
            optimizer.updateHessian();
            assertEquals(0, optimizer.state(first).get("hessian").get(0), "it has no gradient");
            assertEquals(0.25 * 16, optimizer.state(second).get("hessian").get(0));
            assertEquals(Map.of(), optimizer.state(third));
            second.gradient(null);
            first.gradient(scalar(2));
            optimizer.step(); // the second has state, but no gradient
            assertEquals(4, second.value().get(0));
            third.gradient(scalar(1));
            second.gradient(scalar(-4));
            optimizer.step();
            assertEquals(List.of(3.0, 1.0, 1.0), List.of(first, second, third).stream()
                    .map(p -> optimizer.state(p).get("step").get(0)).toList());
            assertEquals(4 + 0.5 * 2 / (0.5 * 8 * 4), second.value().get(0), 1e-12);
            assertEquals(4 - 0.5, third.value().get(0), "without a Hessian it is clipped");
            second.gradient(scalar(8)); // elsewhere
            optimizer.updateHessian();
            assertEquals(0.75 * 4 + 0.25 * 64, optimizer.state(second).get("hessian").get(0));
            assertEquals(0.25, optimizer.state(third).get("hessian").get(0));
        }
    }

    @Test
    void groupsHaveOptionsOfTheirOwn() {
        Parameter p = parameter("p", 4, 2);
        Parameter q = parameter("q", 4, 2);
        try (SophiaG optimizer = new SophiaG(TestEngines.reference(), List.of(p), OPTIONS)) {
            optimizer.addParamGroup(List.of(q), OPTIONS.withBetas(0.5, 0.5));
            optimizer.updateHessian();
            assertEquals(1, optimizer.state(p).get("hessian").get(0));
            assertEquals(2, optimizer.state(q).get("hessian").get(0));
            optimizer.step(4); // 1 / (0.5 * 4 * 1) and 1 / (0.5 * 4 * 2)
            assertEquals(4 - 0.5 * 0.5, p.value().get(0), 1e-12);
            assertEquals(4 - 0.5 * 0.25, q.value().get(0), 1e-12);
            assertEquals(4.0, optimizer.paramGroups().get(1).get("bs"));
            assertThrows(PanoptimException.class, () -> optimizer.step(0));
        }
    }

    @Test
    void anUpdateIsRefusedLikeAStep() {
        Parameter p = parameter("p", 4, 2);
        SophiaG optimizer = new SophiaG(TestEngines.reference(), List.of(p), OPTIONS);
        try (Arena closed = Arena.ofShared()) {
            p.gradient(Tensor.zeros(closed, DType.FLOAT64, 1));
        }
        Parameter table = Parameter.of("table", Tensor.zeros(arena, DType.FLOAT64, 2, 1));
        Tensor indices = Tensor.of(arena.allocateFrom(ValueLayout.JAVA_LONG, 1), DType.INT64, 1);
        table.sparseGradient(new SparseGradient(indices, Tensor.zeros(arena, DType.FLOAT64, 1, 1)));
        Parameter q = parameter("q", 4, 2);
        try (SophiaG sparse = new SophiaG(TestEngines.reference(), List.of(q, table), OPTIONS)) {
            PanoptimException refusal = assertThrows(PanoptimException.class, sparse::updateHessian);
            assertEquals("SophiaG: SophiaG does not support sparse gradients", refusal.getMessage());
            assertEquals(Map.of(), sparse.state(q), "nothing was written");
        }
        PanoptimException inaccessible = assertThrows(PanoptimException.class, optimizer::updateHessian);
        assertEquals(Code.CLOSED, inaccessible.code());
        assertEquals(Map.of(), optimizer.state(p), "nothing was written");
        optimizer.close();
        PanoptimException refusal = assertThrows(PanoptimException.class, optimizer::updateHessian);
        assertEquals("SophiaG.updateHessian: the optimizer is closed", refusal.getMessage());
    }
}
