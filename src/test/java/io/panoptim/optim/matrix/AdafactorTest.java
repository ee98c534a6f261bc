package io.panoptim.optim.matrix;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.RandomTensors;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.optim.Optimizer;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Both Adafactors: the same bits on every engine, blocks and batches of matrices, degenerate input, and what is refused. */
@Tag("native")
class AdafactorTest extends RandomTensors {
    /** Of one block and of several, in either direction; batches of small and of large matrices. */
    private static final long[][] SHAPES = {{}, {1}, {700}, {1, 1}, {1, 2000}, {200, 1}, {64, 520}, {65, 13}, {2, 4100}, {66, 4099}, {3, 2, 3, 3},
        {300, 3, 3}, {700, 1, 1}, {3, 5, 600}, {2, 70, 30}, {5, 0}, {0}};

    private interface Maker {
        Optimizer make(Engine engine, List<Parameter> parameters);
    }

    private static final Map<String, Maker> MAKERS = Map.of(
            "torch", (engine, parameters) -> new Adafactor(engine, parameters, Adafactor.Options.defaults().withLr(0.05)
                    .withWeightDecay(0.1)),
            "ascending", (engine, parameters) -> new Adafactor(engine, parameters, Adafactor.Options.defaults().withLr(0.05)
                    .withMaximize(true).withEps(new Adafactor.Eps(OptionalDouble.of(0.01), 0.1))),
            "paper", (engine, parameters) -> new AdafactorHF(engine, parameters, AdafactorHF.Options.defaults()),
            "averaging", (engine, parameters) -> new AdafactorHF(engine, parameters, AdafactorHF.Options.defaults().withLr(0.1)
                    .withBeta1(0.9).withWeightDecay(0.1).withScaleParameter(false)));

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64", "BFLOAT16", "FLOAT16"})
    void enginesHaveTheSameBits(DType dtype) {
        List<Engine> variants = TestEngines.all();
        try {
            MAKERS.forEach((name, maker) -> {
                List<Tensor> expected = run(TestEngines.reference(), maker, dtype);
                for (Engine engine : variants) {
                    List<Tensor> found = run(engine, maker, dtype);
                    for (int i = 0; i < expected.size(); i++) {
                        Bits.assertSame(expected.get(i), found.get(i), name + ", tensor " + i + ", " + engine.description());
                    }
                }
            });
        } finally {
            TestEngines.close(variants);
        }
    }

    /** Copies of all parameters and states after some steps, in which gradients come, go and move. */
    private List<Tensor> run(Engine engine, Maker maker, DType dtype) {
        random.setSeed(17);
        List<Parameter> parameters = Arrays.stream(SHAPES).map(shape -> Parameter.of(gaussian(dtype, shape))).toList();
        List<Tensor> all = new ArrayList<>();
        try (Optimizer optimizer = maker.make(engine, parameters)) {
            for (int step = 0; step < 3; step++) {
                for (int i = 0; i < parameters.size(); i++) {
                    Tensor gradient = gaussian(dtype, SHAPES[i]);
                    parameters.get(i).gradient(step == 1 && i % 3 == 0 ? null : gradient);
                }
                optimizer.step();
            }
            for (Parameter parameter : parameters) {
                all.add(copy(parameter.value()));
                optimizer.state(parameter).values().forEach(state -> all.add(copy(state)));
            }
        }
        return all;
    }

    private Tensor copy(Tensor tensor) {
        Tensor copy = Tensor.zeros(arena, tensor.dtype(), tensor.shape());
        copy.segment().copyFrom(tensor.segment());
        return copy;
    }

    @Test
    void whatIsFactoredIsTheLastTwoDimensionsOfEach() {
        for (Engine engine : engines()) {
            Tensor gradient = gaussian(DType.FLOAT64, 3, 4, 5);
            Tensor together = Tensor.zeros(arena, DType.FLOAT64, 3, 4, 5);
            Tensor apart = Tensor.zeros(arena, DType.FLOAT64, 3, 4, 5);
            Adafactor.Options unclipped = Adafactor.Options.defaults().withD(1e9); // updates are clipped together
            step(engine, unclipped, together, gradient);
            for (int i = 0; i < 3; i++) {
                step(engine, unclipped, apart.slice(20 * i, 4, 5), gradient.slice(20 * i, 4, 5));
            }
            Bits.assertSame(together, apart, engine.description());
        }
    }

    @Test
    void theUpdateIsThatOfTheDefinition() {
        double[] g = {1, 2, -3, 0.5, -1, 4};
        for (Engine engine : engines()) {
            Tensor value = Tensor.zeros(arena, DType.FLOAT64, 2, 3);
            Tensor gradient = Tensor.zeros(arena, DType.FLOAT64, 2, 3);
            for (int i = 0; i < 6; i++) {
                value.set(i, 2);
                gradient.set(i, g[i]);
            }
            step(engine, Adafactor.Options.defaults().withLr(0.1).withD(1e9), value, gradient);
            for (int i = 0; i < 6; i++) {
                int row = i / 3;
                int column = i % 3;
                double rows = (g[3 * row] * g[3 * row] + g[3 * row + 1] * g[3 * row + 1] + g[3 * row + 2] * g[3 * row + 2]) / 3;
                double columns = (g[column] * g[column] + g[column + 3] * g[column + 3]) / 2;
                double mean = Arrays.stream(g).map(x -> x * x).sum() / 6;
                assertEquals(2 - 2 * 0.1 * g[i] / Math.sqrt(rows * columns / mean), value.get(i), 1e-14, engine.description());
            }
        }
    }

    @Test
    void degenerateGradients() {
        for (Engine engine : engines()) {
            for (boolean paper : new boolean[] {false, true}) {
                Parameter zero = parameter(0, 3, 5);
                Parameter one = parameter(1, 1, 1);
                Parameter tiny = parameter(1e-30, 4, 3);
                Parameter huge = parameter(1e18, 4, 3);
                Parameter corner = parameter(0, 4, 3);
                corner.gradient().set(0, 1);
                Parameter late = parameter(0, 4, 3);
                Parameter nan = parameter(1, 3, 5);
                nan.gradient().set(7, Double.NaN);
                Parameter infinite = parameter(1, 9);
                infinite.gradient().set(0, Double.POSITIVE_INFINITY);
                List<Parameter> all = List.of(zero, one, tiny, huge, corner, late, nan, infinite, parameter(1, 0, 3), parameter(1, 1, 100000));
                try (Optimizer optimizer = paper ? new AdafactorHF(engine, all, AdafactorHF.Options.defaults())
                        : new Adafactor(engine, all, Adafactor.Options.defaults().withLr(1e-3))) {
                    for (int step = 0; step < 3; step++) {
                        optimizer.step();
                        late.gradient().set(5, 1);
                    }
                }
                assertTrue(Arrays.stream(values(zero.value())).allMatch(x -> x == 1));
                assertTrue(Arrays.stream(values(nan.value())).allMatch(Double::isNaN), "the size of all updates is none");
                assertTrue(Double.isNaN(infinite.value().get(0)));
                for (Parameter finite : List.of(one, tiny, huge, corner, late, all.getLast())) {
                    assertTrue(Arrays.stream(values(finite.value())).allMatch(x -> x <= 1 && x > 0.9), engine.description());
                }
                assertTrue(corner.value().get(0) < 1 && corner.value().get(1) == 1);
            }
        }
    }

    @Test
    void whatIsRefused() {
        Tensor transposed = Tensor.of(arena.allocate(96, 8), DType.FLOAT64, new long[] {3, 4}, new long[] {1, 3});
        for (Engine engine : engines()) {
            Parameter columns = Parameter.of("w", transposed);
            PanoptimException refused = assertThrows(PanoptimException.class,
                    () -> new Adafactor(engine, List.of(columns), Adafactor.Options.defaults()));
            assertEquals(Code.UNSUPPORTED, refused.code());
            assertTrue(refused.getMessage().contains("'w'") && refused.getMessage().contains("row-major order"), refused.getMessage());
            Arena own = Arena.ofShared();
            Parameter closed = Parameter.of("late", Tensor.zeros(own, DType.FLOAT32, 3, 3)).gradient(gaussian(DType.FLOAT32, 3, 3));
            Parameter open = parameter(1, 2, 2);
            try (Adafactor optimizer = new Adafactor(engine, List.of(Parameter.of("open", open.value()).gradient(open.gradient()), closed),
                    Adafactor.Options.defaults())) {
                optimizer.step();
                double[] before = values(open.value());
                own.close();
                assertEquals(Code.CLOSED, assertThrows(PanoptimException.class, optimizer::step).code());
                assertArrayEquals(before, values(open.value()));
            }
        }
        refused("Adafactor: Learning rate should be >= 0 but is: -1.0", () -> Adafactor.Options.defaults().withLr(-1));
        refused("Adafactor: Clipping threshold d should be >= 1 but is: 0.5", () -> Adafactor.Options.defaults().withD(0.5));
        refused("Adafactor: beta2_decay should be <= 0 but is: 0.8", () -> Adafactor.Options.defaults().withBeta2Decay(0.8));
        refused("AdafactorHF: Cannot combine manual `lr` and `relative_step=True` options", () -> AdafactorHF.SCHEMA.with(
                AdafactorHF.Options.defaults(), Map.of("lr", 0.1)));
        refused("AdafactorHF: `warmup_init=True` requires `relative_step=True`", () -> AdafactorHF.Options.defaults().withLr(0.1)
                .withWarmupInit(true));
    }

    @Test
    void aStepThatIsNotRelativeNeedsALearningRate() {
        Parameter w = parameter(1, 2, 2);
        try (AdafactorHF optimizer = new AdafactorHF(TestEngines.reference(), List.of(w), AdafactorHF.SCHEMA.with(
                AdafactorHF.Options.defaults(), Map.of("relative_step", false)))) {
            assertEquals("AdafactorHF.step: `relative_step=False` requires an `lr`",
                    assertThrows(PanoptimException.class, optimizer::step).getMessage());
            optimizer.paramGroups().getFirst().lr(0.5);
            optimizer.step();
            assertEquals(0.5, w.value().get(0), 1e-6);
        }
    }

    /** As torch.optim.Adafactor's has it, with a tuple that begins with None, and a field that is no option here. */
    @Test
    void torchsStateIsLoaded() {
        for (Engine engine : engines()) {
            Parameter w = parameter(1, 2, 3);
            Parameter b = parameter(1, 4);
            try (Adafactor optimizer = new Adafactor(engine, List.of(w, b), Adafactor.Options.defaults().withEps(
                    new Adafactor.Eps(OptionalDouble.of(0.5), 0.5)))) {
                Map<String, Object> group = new HashMap<>(Map.of("lr", 0.5, "beta2_decay", -0.5, "eps", Arrays.asList(null, 1e-3), "d", 1.0,
                        "weight_decay", 0.0, "maximize", false, "params", List.of(0, 1)));
                group.put("foreach", null);
                optimizer.loadStateDict(Map.of("param_groups", List.of(group), "state", Map.of(
                        0, Map.of("step", constant(3), "row_var", constant(4, 2, 1), "col_var", constant(4, 1, 3)),
                        1, Map.of("step", constant(3), "variance", constant(4, 4)))));
                assertTrue(optimizer.toString().contains("eps: (None, 0.001)"), optimizer.toString());
                assertEquals(Arrays.asList(null, 1e-3), ((Map<?, ?>) ((List<?>) optimizer.stateDict().get("param_groups")).getFirst()).get("eps"));
                optimizer.step();
                for (Parameter parameter : List.of(w, b)) { // 1 - min(0.5, 1 / sqrt(4)) * 1 / sqrt(4 + (1 - 4) / sqrt(4))
                    assertEquals(4, optimizer.state(parameter).get("step").get(0));
                    assertEquals(1 - 0.5 / Math.sqrt(2.5), parameter.value().get(1), 1e-6, engine.description());
                }
                assertArrayEquals(new double[] {2.5, 2.5}, values(optimizer.state(w).get("row_var")));
                PanoptimException refused = assertThrows(PanoptimException.class, () -> optimizer.loadStateDict(Map.of("param_groups",
                        List.of(group), "state", Map.of(0, Map.of("step", constant(3), "row_var", constant(4, 2), "col_var", constant(4, 1, 3))))));
                assertTrue(refused.getMessage().startsWith("Adafactor.loadStateDict: state[0]['row_var']: expected a tensor of shape [2, 1]"),
                        refused.getMessage());
            }
        }
    }

    // ---- Help

    private static List<Engine> engines() {
        List<Engine> engines = TestEngines.ofTiers();
        engines.addAll(TestEngines.mirrors());
        return engines;
    }

    private static void refused(String message, Runnable call) {
        assertEquals(message, assertThrows(PanoptimException.class, call::run).getMessage());
    }

    private static void step(Engine engine, Adafactor.Options options, Tensor value, Tensor gradient) {
        try (Adafactor optimizer = new Adafactor(engine, List.of(Parameter.of(value).gradient(gradient)), options)) {
            optimizer.step();
        }
    }

    /** Of ones, with gradients that are all the same. */
    private Parameter parameter(double gradient, long... shape) {
        return Parameter.of(constant(1, shape)).gradient(constant(gradient, shape));
    }
}
