package io.panoptim.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;

/** Changes are counted of all parameters, and nothing else runs meanwhile. */
class ParameterTest {
    private final Tensor one = Tensor.zeros(Arena.ofAuto(), DType.FLOAT32, 3);
    private final Tensor other = Tensor.zeros(Arena.ofAuto(), DType.FLOAT32, 3);
    private final Parameter parameter = Parameter.of(Tensor.zeros(Arena.ofAuto(), DType.FLOAT32, 3));

    @Test
    void aGradientThatComesMovesOrGoesIsCounted() {
        long before = Parameter.gradientChanges();
        parameter.gradient(one);
        long come = Parameter.gradientChanges();
        parameter.gradient(other);
        long moved = Parameter.gradientChanges();
        parameter.gradient(null);
        assertNotEquals(before, come);
        assertNotEquals(come, moved);
        assertNotEquals(moved, Parameter.gradientChanges());
    }

    @Test
    void theSameGradientAgainIsNoChange() {
        parameter.gradient(one);
        long before = Parameter.gradientChanges();
        parameter.gradient(one);
        assertEquals(before, Parameter.gradientChanges());
    }
}
