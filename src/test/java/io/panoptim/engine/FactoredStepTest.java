package io.panoptim.engine;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.FactoredStep.Scalars;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What plans of factored steps refuse, and when they are closed. */
@Tag("native")
class FactoredStepTest {
    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    @Test
    void overlapsAreRefused() {
        for (Engine engine : TestEngines.ofTiers()) {
            Tensor memory = Tensor.zeros(arena, DType.FLOAT32, 64);
            Factored a = factored("a", memory.slice(0, 3, 4), zeros(3, 4), zeros(3));
            overlaps("the value of 'b' overlaps the value of 'a'", engine, a, factored("b", memory.slice(4, 3, 4), zeros(3, 4), zeros(3)));
            overlaps("a state of 'b' overlaps the value of 'a'", engine, a, factored("b", zeros(3, 4), zeros(3, 4), memory.slice(11, 3)));
            overlaps("the gradient of 'b' overlaps the value of 'a'", engine, a, factored("b", zeros(3, 4), memory.slice(11, 3, 4), zeros(3)));
            overlaps("the gradient of 'b' overlaps the gradient of 'a'", engine, a, factored("b", zeros(3, 4), a.gradient(), zeros(3)));
            overlaps("the gradient of 'a' overlaps the value of 'a'", engine, factored("a", a.value(), a.value(), zeros(3)));
            overlaps("a state of 'c' overlaps a state of 'a'", engine, factored("a", a.value(), zeros(3, 4), a.columnAverage().slice(0, 3)),
                    new Factored("c", zeros(3, 4), zeros(3, 4), zeros(3), a.columnAverage(), null));
            engine.factoredStep(List.of(a, factored("b", memory.slice(12, 3, 4), zeros(3, 4), zeros(3)))).close();
        }
    }

    private static void overlaps(String words, Engine engine, Factored... tensors) {
        refused(Code.INVALID, "Engine.factoredStep: " + words + ": each needs memory of its own", () -> engine.factoredStep(List.of(tensors)));
    }

    @Test
    void gradientsMayChangePlacesButNotOverlap() {
        for (Engine engine : TestEngines.ofTiers()) {
            Tensor memory = Tensor.zeros(arena, DType.FLOAT32, 64);
            Factored a = factored("a", memory.slice(0, 3, 4), ones(), zeros(3));
            Factored b = factored("b", memory.slice(12, 3, 4), ones(), zeros(3));
            try (FactoredStep step = engine.factoredStep(List.of(a, b))) {
                step.gradients(Map.of(0, b.gradient(), 1, a.gradient()));
                assertSame(b.gradient(), step.tensors().getFirst().gradient());
                for (Map<Integer, Tensor> moves : List.of(Map.of(0, a.gradient()), Map.of(0, ones(), 1, memory.slice(20, 3, 4)),
                        Map.of(0, memory.slice(20, 3, 4), 1, ones()))) {
                    refused(Code.INVALID, ": each needs memory of its own", () -> step.gradients(moves));
                    assertSame(b.gradient(), step.tensors().getFirst().gradient(), "nothing changes");
                    assertSame(a.gradient(), step.tensors().getLast().gradient(), "nothing changes");
                }
                Tensor same = ones();
                refused("overlaps the gradient of", () -> step.gradients(Map.of(0, same, 1, same)));
                refused("overlaps the gradient of 'b'", () -> step.gradients(Map.of(0, a.gradient())));
                step.gradients(Map.of(1, memory.slice(40, 3, 4)));
                step.gradients(Map.of(0, a.gradient()));
                step.run(List.of(SCALARS, SCALARS), Stream.DEFAULT);
                assertEquals(-1, a.value().get(0), 1e-6);
                assertEquals(0, b.value().get(0), "its gradient is zero");
            }
        }
    }

    private static final Scalars SCALARS = new Scalars(1, 1, 1e-30, 1e-30, 1e10, 1e9, false, 0, 0, 0, 0);

    /** A plan that is told to close while it runs, and whose memory is in use once. */
    private final class Stubborn extends FactoredStep {
        boolean inUse = true;
        int freed;

        Stubborn() {
            super((TableEngine) TestEngines.reference(), List.of(factored("a", zeros(3, 4), zeros(3, 4), zeros(3))), true);
        }

        @Override
        protected void step(List<Scalars> scalars, Stream stream) {
            refused(Code.CONCURRENT, "a step is running: close it again later", this::close);
            refused(Code.CONCURRENT, "another thread is using this plan", () -> run(scalars, Stream.DEFAULT));
            refused(Code.CONCURRENT, "another thread is using this plan", () -> gradients(Map.of(0, zeros(3, 4))));
            assertEquals(0, freed);
        }

        @Override
        protected double lastRms(int tensor) {
            return 7;
        }

        @Override
        protected void free() {
            if (inUse) {
                throw new IllegalStateException("in use");
            }
            freed++;
        }
    }

    @Test
    void whatCouldNotBeClosedIsClosedLater() {
        Stubborn step = new Stubborn();
        step.run(List.of(SCALARS), Stream.DEFAULT);
        assertThrows(IllegalStateException.class, step::close);
        step.run(List.of(SCALARS), Stream.DEFAULT);
        step.inUse = false;
        step.close();
        step.close();
        assertEquals(1, step.freed);
        refused(Code.CLOSED, "it is closed", () -> step.run(List.of(SCALARS), Stream.DEFAULT));
    }

    private Factored factored(String name, Tensor value, Tensor gradient, Tensor rowAverage) {
        return new Factored(name, value, gradient, rowAverage, zeros(4), null);
    }

    private Tensor zeros(long... shape) {
        return Tensor.zeros(arena, DType.FLOAT32, shape);
    }

    private Tensor ones() {
        Tensor tensor = zeros(3, 4);
        for (int i = 0; i < 12; i++) {
            tensor.set(i, 1);
        }
        return tensor;
    }
}
