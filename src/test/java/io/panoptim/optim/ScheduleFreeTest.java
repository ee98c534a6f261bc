package io.panoptim.optim;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
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

/** Training and evaluation at different points. */
@Tag("native")
class ScheduleFreeTest {
    private static final SGDScheduleFree.Options SGD = SGDScheduleFree.Options.defaults().withLr(0.5).withMomentum(0.75);

    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    private Parameter parameter(String name, double value) {
        Tensor tensor = Tensor.zeros(arena, DType.FLOAT64, 1);
        Tensor gradient = Tensor.zeros(arena, DType.FLOAT64, 1);
        tensor.set(0, value);
        gradient.set(0, 1);
        return Parameter.of(name, tensor).gradient(gradient);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void evaluatesTheAverageAndGoesOnWhereItTrained(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 4);
        try (SGDScheduleFree optimizer = new SGDScheduleFree(engine, List.of(p), SGD)) {
            optimizer.train();
            optimizer.eval(); // before the first step there is one point only
            optimizer.train();
            assertEquals(4, p.value().get(0));
            double z = 4;
            double sum = 0;
            for (int step = 1; step <= 3; step++) { // with a constant rate every z has the same weight
                p.gradient().set(0, step);
                optimizer.step();
                z -= 0.5 * step;
                sum += z;
                double average = sum / step;
                assertEquals(z, optimizer.state(p).get("z").get(0), 1e-12);
                assertEquals(0.75 * average + 0.25 * z, p.value().get(0), 1e-12, "y");
                optimizer.eval();
                assertEquals(average, p.value().get(0), 1e-12, "x");
                optimizer.eval();
                assertEquals(average, p.value().get(0), 1e-12, "evaluated twice");
                optimizer.train();
                optimizer.train();
                assertEquals(0.75 * average + 0.25 * z, p.value().get(0), 1e-12, "y again");
            }
            assertEquals(Map.of("k", 3.0, "weight_sum", 0.75, "lr_max", 0.5, "scheduled_lr", 0.5, "train_mode", 1.0),
                    optimizer.groupState(optimizer.paramGroups().getFirst()));
        }
    }

    @Test
    void aStepOutsideTrainingIsRefusedBeforeAnythingIsWritten() {
        String message = "SGDScheduleFree.step: Optimizer was not in train mode when step is called. Please insert .train() and "
                + ".eval() calls on the optimizer. See documentation for details.";
        Parameter p = parameter("p", 4);
        Parameter later = parameter("later", 2);
        try (SGDScheduleFree optimizer = new SGDScheduleFree(TestEngines.reference(), List.of(p), SGD)) {
            refused(Code.INVALID, message, optimizer::step);
            assertEquals(Map.of(), optimizer.state(p));
            optimizer.train();
            optimizer.step();
            optimizer.eval();
            double evaluated = p.value().get(0);
            refused(Code.INVALID, message, optimizer::step);
            assertEquals(evaluated, p.value().get(0));
            optimizer.train();
            optimizer.addParamGroup(List.of(later), SGD);
            double trained = p.value().get(0);
            refused(Code.INVALID, message, optimizer::step);
            assertEquals(2, later.value().get(0));
            optimizer.train();
            assertEquals(trained, p.value().get(0), "the first group was in training already");
            optimizer.step();
            assertEquals(2.0, optimizer.groupState(optimizer.paramGroups().get(0)).get("k"));
            assertEquals(1.0, optimizer.groupState(optimizer.paramGroups().get(1)).get("k"));
        }
    }

    @Test
    void nothingIsSwappedOnceClosed() {
        SGDScheduleFree optimizer = new SGDScheduleFree(TestEngines.reference(), List.of(parameter("p", 4)), SGD);
        optimizer.close();
        refused(Code.CLOSED, "SGDScheduleFree.train: the optimizer is closed", optimizer::train);
        refused(Code.CLOSED, "SGDScheduleFree.eval: the optimizer is closed", optimizer::eval);
    }

    @Test
    void aGroupCountsStepsInWhichItsParametersHaveNoGradient() {
        Parameter p = parameter("p", 4);
        Tensor gradient = p.gradient();
        p.gradient(null);
        SGDScheduleFree.Options warmUp = SGD.withWarmupSteps(4);
        try (SGDScheduleFree optimizer = new SGDScheduleFree(TestEngines.reference(), List.of(p), warmUp)) {
            ParamGroup group = optimizer.paramGroups().getFirst();
            assertEquals(Map.of("k", 0.0, "weight_sum", 0.0, "lr_max", -1.0, "scheduled_lr", 0.0, "train_mode", 0.0),
                    optimizer.groupState(group));
            optimizer.train();
            optimizer.step();
            optimizer.step();
            assertEquals(2.0, optimizer.groupState(group).get("k"));
            assertEquals(0.25, optimizer.groupState(group).get("scheduled_lr"));
            assertEquals(Map.of(), optimizer.state(p));
            p.gradient(gradient);
            optimizer.step();
            assertEquals(4 - 0.375, optimizer.state(p).get("z").get(0), "the rate of the group's third step");
        }
    }

    @Test
    void aRefusedStepIsNotCounted() {
        Parameter p = parameter("p", 4);
        try (SGDScheduleFree optimizer = new SGDScheduleFree(TestEngines.reference(), List.of(p), SGD)) {
            optimizer.train();
            try (Arena briefly = Arena.ofShared()) {
                p.gradient(Tensor.zeros(briefly, DType.FLOAT64, 1));
            }
            refused(Code.CLOSED, "arena that was closed", optimizer::step);
            assertEquals(0.0, optimizer.groupState(optimizer.paramGroups().getFirst()).get("k"));
        }
    }

    @Test
    void aRateOfZeroHasNoNegativePower() {
        Parameter p = parameter("p", 4);
        RAdamScheduleFree.Options silent = RAdamScheduleFree.Options.defaults().withWeightLrPower(-1);
        try (RAdamScheduleFree optimizer = new RAdamScheduleFree(TestEngines.reference(), List.of(p), silent)) {
            optimizer.train();
            refused(Code.INVALID, "RAdamScheduleFree.step: 0.0 cannot be raised to a negative power", optimizer::step);
            assertEquals(4, p.value().get(0));
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            warmup_steps | 2.5  | option 'warmup_steps' takes an integer, not 2.5
            warmup_steps | -1   | Invalid warmup_steps value: -1
            warmup_steps | NaN  | option 'warmup_steps' takes an integer, not NaN
            warmup_steps | 1e17 | option 'warmup_steps' takes an integer, not 1.0E17
            momentum     | 0    | Momentum must be between 0 and 1 exclusive: 0.0
            momentum     | 1    | Momentum must be between 0 and 1 exclusive: 1.0
            r            | NaN  | Invalid r value: NaN
            """)
    void refusesOptions(String name, double value, String words) {
        refused(Code.INVALID, words, () -> SGDScheduleFree.SCHEMA.with(SGD, Map.of(name, value)));
    }

    @Test
    void takesWholeNumbers() {
        assertEquals(7, SGDScheduleFree.SCHEMA.with(SGD, Map.of("warmup_steps", 7.0)).warmupSteps());
        try (SGDScheduleFree optimizer = new SGDScheduleFree(TestEngines.reference(), List.of(parameter("p", 1)), SGD)) {
            ParamGroup group = optimizer.paramGroups().getFirst();
            group.set("warmup_steps", 9);
            assertEquals(9L, group.get("warmup_steps"));
            assertTrue(optimizer.toString().contains("    warmup_steps: 9\n"), optimizer.toString());
        }
    }

    @Test
    void evaluationDividesByTheFirstBeta() {
        refused(Code.INVALID, "Invalid beta parameter at index 0: 0.0: expected more than 0, which evaluation divides by",
                () -> AdamWScheduleFree.Options.defaults().withBetas(0, 0.999));
        refused(Code.INVALID, "Invalid beta parameter at index 0: 0.0: expected more than 0, which evaluation divides by",
                () -> RAdamScheduleFree.Options.defaults().withBetas(0, 0.999));
    }
}
