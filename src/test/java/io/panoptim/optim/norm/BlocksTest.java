package io.panoptim.optim.norm;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.optim.Betas;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a tensor's rows and dimensions have to do with its update, and what is refused of them. */
@Tag("native")
class BlocksTest {
    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    /** With gradients 1, 2, 3, … */
    private Parameter parameter(String name, long... shape) {
        Tensor gradient = Tensor.zeros(arena, DType.FLOAT32, shape);
        LongStream.range(0, gradient.elements()).forEach(i -> gradient.set(i, i + 1));
        return Parameter.of(name, Tensor.zeros(arena, DType.FLOAT32, shape)).gradient(gradient);
    }

    private static double[] values(Tensor tensor) {
        return LongStream.range(0, tensor.elements()).mapToDouble(tensor::get).toArray();
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void adamMiniHasOneSecondMomentForEachBlock(String engine) {
        AdamMini.Options options = AdamMini.Options.defaults().withBetas(0, 0).withEps(0).withLr(1);
        Parameter rows = parameter("rows", 2, 2);
        Parameter whole = parameter("whole", 2, 2);
        Parameter heads = parameter("heads", 2, 4);
        Parameter elements = parameter("elements", 3);
        try (AdamMini optimizer = new AdamMini(TestEngines.named(engine), List.of(rows), options)) {
            optimizer.addParamGroup(List.of(whole), options.withBlocks(AdamMini.TENSOR));
            optimizer.addParamGroup(List.of(heads), options.withBlocks(4));
            optimizer.addParamGroup(List.of(elements), options.withBlocks(AdamMini.ELEMENTS));
            optimizer.step();
            assertArrayEquals(new double[] {2.5, 12.5}, values(optimizer.state(rows).get("vmean")));
            assertArrayEquals(new double[] {7.5}, values(optimizer.state(whole).get("vmean")));
            assertArrayEquals(new double[] {2.5, 12.5, 30.5, 56.5}, values(optimizer.state(heads).get("vmean")));
            assertArrayEquals(new double[] {1, 4, 9}, values(optimizer.state(elements).get("vmean")));
            assertArrayEquals(new double[] {-1, -1, -1}, values(elements.value()));
            assertEquals(-3 / Math.sqrt(12.5), rows.value().get(2), 1e-6);
            assertEquals((4 + 4 + 8 + 3) * 4 + (2 + 1 + 4 + 3) * 8, optimizer.stateBytes());
        }
    }

    @Test
    void blocksThatDoNotDivideATensorOrChangeLaterAreRefused() {
        AdamMini.Options options = AdamMini.Options.defaults();
        refused(Code.INVALID, "Invalid blocks value: -2", () -> options.withBlocks(-2));
        Parameter p = parameter("p", 2, 3);
        try (AdamMini optimizer = new AdamMini(TestEngines.reference(), List.of(p), options.withBlocks(4))) {
            refused(Code.INVALID, "parameter 'p' float32[2, 3] cannot be divided into 4 blocks", optimizer::step);
            assertEquals(Map.of(), optimizer.state(p));
            optimizer.paramGroups().getFirst().set("blocks", 3);
            optimizer.step();
            double[] before = values(p.value());
            optimizer.paramGroups().getFirst().set("blocks", 2);
            refused(Code.INVALID, "blocks was 3 at the first step, and cannot become 2", optimizer::step);
            assertArrayEquals(before, values(p.value()));
            assertEquals(3, optimizer.state(p).get("vmean").elements(), "the state is as it was");
            Parameter late = parameter("late", 2, 3);
            optimizer.addParamGroup(List.of(late), options);
            refused(Code.INVALID, "AdamMini.step: 'p' has state for 3 rows or blocks, and cannot get 2: put the options back",
                    optimizer::step);
            assertArrayEquals(before, values(p.value()));
            optimizer.paramGroups().getFirst().set("blocks", 3);
            optimizer.step();
            assertEquals(2, optimizer.state(p).get("step").get(0));
            assertEquals(2, optimizer.state(late).get("vmean").elements());
        }
    }

    /** The same values in a vector have no rows, whose means could be taken away. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void rangerCentralizesGradientsOnlyIfItIsToldTo(String engine) {
        Ranger.Options options = Ranger.Options.defaults().withLr(0.1);
        Parameter matrix = parameter("matrix", 2, 3);
        Parameter centralized = parameter("centralized", 2, 3);
        Parameter vector = parameter("vector", 6);
        try (Ranger ranger = new Ranger(TestEngines.named(engine), List.of(matrix, vector), options.withUseGc(false))) {
            ranger.addParamGroup(List.of(centralized), options);
            ranger.step();
            assertArrayEquals(values(vector.value()), values(matrix.value()));
            assertArrayEquals(values(ranger.state(vector).get("exp_avg")), values(ranger.state(matrix).get("exp_avg")));
            assertArrayEquals(new double[] {-0.05, 0, 0.05, -0.05, 0, 0.05}, values(ranger.state(centralized).get("exp_avg")), 1e-7);
        }
    }

    /** A gradient that is orthogonal to the parameters: the step is too, but for what momentum it has. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aProjectedStepIsOrthogonalToEachRowAndDecaysItLess(String engine) {
        SGDP.Options options = SGDP.Options.defaults().withLr(1).withWeightDecay(0.5).withWdRatio(0.5);
        Parameter rows = parameter("rows", 2, 2);
        Parameter vector = parameter("vector", 4);
        for (Parameter p : List.of(rows, vector)) {
            p.value().set(0, 1);
            p.value().set(3, 2);
            p.gradient().set(0, 0.01);
            p.gradient().set(1, 1);
            p.gradient().set(2, 1);
            p.gradient().set(3, 0.01);
        }
        try (SGDP optimizer = new SGDP(TestEngines.named(engine), List.of(rows, vector), options)) {
            optimizer.step();
            assertArrayEquals(new double[] {0.75, -1, -1, 1.5}, values(rows.value()), 1e-7);
            assertArrayEquals(new double[] {0.49, -1, -1, 0.99}, values(vector.value()), 1e-7);
        }
    }

    @Test
    void optionsOfEveryKindCanBeReadAndChanged() {
        Parameter p = parameter("p", 2, 3);
        try (MARS mars = new MARS(TestEngines.reference(), List.of(p), MARS.Options.defaults())) {
            var group = mars.paramGroups().getFirst();
            assertEquals(Optional.empty(), group.get("betas_1d"));
            assertEquals(MARS.Type.ADAMW, group.get("mars_type"));
            assertTrue(group.toString().contains("    betas_1d: None\n"), group.toString());
            group.set("betas_1d", new Betas(0.5, 0.25));
            assertEquals(Optional.of(new Betas(0.5, 0.25)), group.get("betas_1d"));
            group.set("betas_1d", Optional.empty());
            assertEquals(Optional.empty(), group.get("betas_1d"));
            group.set("mars_type", "lion");
            assertEquals(MARS.Type.LION, group.get("mars_type"));
            refused(Code.INVALID, "option 'mars_type' takes 'adamw' or 'lion', not adam", () -> group.set("mars_type", "adam"));
            refused(Code.INVALID, "Invalid beta parameter at index 0: 1.0", () -> group.set("betas_1d", new Betas(1, 0.5)));
            refused(Code.INVALID, "MARS: 'mars_type' is a choice: only numbers can be scheduled", () -> mars.hyperparameter("mars_type"));
            refused(Code.INVALID, "option 'betas' takes 2 numbers, not Optional.empty", () -> group.set("betas", Optional.empty()));
            assertEquals(2, mars.paramGroups().getFirst().params().getFirst().value().shape().length);
            mars.step();
            assertEquals(3 * 24, mars.stateBytes());
            group.set("optimize_1d", true);
            assertEquals(2 * 24, mars.stateBytes(), "Lion alone needs no second moment");
            mars.step();
        }
        refused(Code.INVALID, "weight_decay is divided by 1 - momentum",
                () -> SGDP.Options.defaults().withWeightDecay(0.1).withMomentum(1));
    }
}
