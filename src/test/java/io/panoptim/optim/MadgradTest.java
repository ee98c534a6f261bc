package io.panoptim.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.panoptim.PanoptimException;
import io.panoptim.TestEngines;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** The state that only momentum needs. */
class MadgradTest {
    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    private Parameter parameter() {
        Tensor value = Tensor.zeros(arena, DType.FLOAT64, 1);
        Tensor gradient = Tensor.zeros(arena, DType.FLOAT64, 1);
        value.set(0, 3);
        gradient.set(0, 2);
        return Parameter.of(value).gradient(gradient);
    }

    @Test
    void momentumCannotBeSwitchedOnWhenX0IsNotKnown() {
        Parameter p = parameter();
        MADGRAD.Options plain = MADGRAD.Options.defaults().withMomentum(0);
        try (MADGRAD optimizer = new MADGRAD(TestEngines.reference(), List.of(p), plain)) {
            optimizer.step();
            double before = p.value().get(0);
            optimizer.paramGroups().getFirst().set("momentum", 0.9);
            PanoptimException refusal = assertThrows(PanoptimException.class, optimizer::step);
            assertEquals("MADGRAD.step: momentum was 0 in a parameter's first step, so that its x0 is not known: leave it at 0, "
                    + "or begin with a new optimizer", refusal.getMessage());
            assertEquals(before, p.value().get(0));
            optimizer.paramGroups().getFirst().set("momentum", 0);
            optimizer.step();
            assertEquals(2, optimizer.state(p).get("step").get(0));
        }
    }

    @Test
    void momentumCanBeSwitchedOffForAWhile() {
        Parameter p = parameter();
        try (MADGRAD optimizer = new MADGRAD(TestEngines.reference(), List.of(p), MADGRAD.Options.defaults())) {
            optimizer.step();
            optimizer.paramGroups().getFirst().set("momentum", 0);
            optimizer.step();
            optimizer.paramGroups().getFirst().set("momentum", 0.9);
            optimizer.step();
            assertEquals(3, optimizer.state(p).get("x0").get(0), "of the first step");
        }
    }
}
