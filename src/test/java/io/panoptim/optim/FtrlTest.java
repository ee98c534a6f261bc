package io.panoptim.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.panoptim.PanoptimException;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.FtrlPowerRow;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** One optimizer with two rules. */
@Tag("native")
class FtrlTest {
    private static final FTRL.Options OPTIONS = FTRL.Options.defaults().withLr(0.5).withL1RegularizationStrength(0.25);

    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    private Parameter parameter(String name) {
        Tensor value = Tensor.zeros(arena, DType.FLOAT64, 1);
        Tensor gradient = Tensor.zeros(arena, DType.FLOAT64, 1);
        value.set(0, 3);
        gradient.set(0, 2);
        return Parameter.of(name, value).gradient(gradient);
    }

    /** The formulas, in one line each. */
    private static double[] step(double p, double accumulator, double linear, double power) {
        double sum = accumulator + 4;
        double z = linear + 2 - (Math.pow(sum, power) - Math.pow(accumulator, power)) / 0.5 * p;
        return new double[] {(Math.clamp(z, -0.25, 0.25) - z) / (Math.pow(sum, power) / 0.5), sum, z};
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void theRuleFollowsTheOptionsAndTheStateStays(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p");
        try (FTRL optimizer = new FTRL(engine, List.of(p), OPTIONS)) {
            double[] expected = {3, 0.1, 0};
            for (double power : new double[] {0.5, 0.75, 0.75, 0.5}) {
                optimizer.paramGroups().getFirst().set("learning_rate_power", -power);
                optimizer.step();
                assertEquals(power == 0.5 ? Rule.FTRL : Rule.FTRL_POWER, optimizer.rule());
                expected = step(expected[0], expected[1], expected[2], power);
                assertEquals(expected[0], p.value().get(0), 1e-14);
                assertEquals(expected[1], optimizer.state(p).get("accumulator").get(0), 1e-14);
                assertEquals(expected[2], optimizer.state(p).get("linear").get(0), 1e-14);
            }
        }
    }

    @Test
    void aSquareRootBesideAnotherPowerHasTheSameBits() {
        Parameter alone = parameter("alone");
        Parameter beside = parameter("beside");
        try (FTRL single = new FTRL(TestEngines.reference(), List.of(alone), OPTIONS);
             FTRL both = new FTRL(TestEngines.reference(), List.of(beside), OPTIONS)) {
            both.addParamGroup(List.of(parameter("other")), OPTIONS.withLearningRatePower(-0.3));
            for (int step = 0; step < 5; step++) {
                single.step();
                both.step();
                assertEquals(alone.value().get(0), beside.value().get(0));
            }
        }
    }

    /** One method fills the rows of either. */
    @Test
    void bothRulesRowsBeginAlike() {
        List<String> scalars = Rule.FTRL.scalars();
        assertEquals(scalars, Rule.FTRL_POWER.scalars().subList(0, scalars.size()));
        assertEquals(Rule.FTRL.flags(), Rule.FTRL_POWER.flags().subList(0, Rule.FTRL.flags().size()));
        assertEquals(scalars.size(), FtrlPowerRow.POWER);
        assertEquals(Rule.FTRL.states(), Rule.FTRL_POWER.states());
    }

    @Test
    void aRateOfZeroIsRefusedBeforeAnythingIsWritten() {
        Parameter p = parameter("p");
        try (FTRL optimizer = new FTRL(TestEngines.reference(), List.of(p), OPTIONS)) {
            optimizer.paramGroups().getFirst().lr(0);
            PanoptimException refusal = assertThrows(PanoptimException.class, optimizer::step);
            assertEquals("FTRL.step: a learning rate of 0.0, which the update divides by: leave out the step, or take the "
                    + "gradients away", refusal.getMessage());
            assertEquals(3, p.value().get(0));
            assertEquals(Map.of(), optimizer.state(p));
            optimizer.paramGroups().getFirst().lr(0.5);
            optimizer.step();
            assertEquals(step(3, 0.1, 0, 0.5)[0], p.value().get(0), 1e-14);
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            learning_rate_power         | 0.1  | `learning_rate_power` needs to be negative or zero. Received: learning_rate_power=0.1
            initial_accumulator_value   | -0.1 | `initial_accumulator_value` needs to be positive or zero. Received: initial_accumulator_value=-0.1
            l1_regularization_strength  | NaN  | `l1_regularization_strength` needs to be positive or zero. Received: l1_regularization_strength=NaN
            lr                          | -1   | Invalid learning rate: -1.0
            """)
    void refusesOptions(String name, double value, String message) {
        PanoptimException refusal = assertThrows(PanoptimException.class, () -> FTRL.SCHEMA.with(OPTIONS, Map.of(name, value)));
        assertEquals("FTRL: " + message, refusal.getMessage());
    }
}
