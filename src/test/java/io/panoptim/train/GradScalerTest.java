package io.panoptim.train;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Control;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Stream;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.JointStep;
import io.panoptim.optim.LBFGS;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.SGD;
import io.panoptim.optim.StepContext;
import io.panoptim.optim.wrap.Lookahead;
import io.panoptim.schedule.StepLR;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.BiFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The scaler's rules and messages are torch's, and a skipped step leaves no trace. */
@Tag("native")
class GradScalerTest extends Opened {
    private static final GradScaler.Options OPTIONS = GradScaler.Options.defaults().withInitScale(8).withGrowthInterval(2);
    private static final SGD.Options HEAVY = SGD.Options.defaults().withLr(0.1).withMomentum(0.9);

    private Parameter parameter(String name, float... values) {
        return Parameter.of(name, Tensor.of(arena, values));
    }

    private GradScaler scaler(Engine engine, GradScaler.Options options) {
        GradScaler scaler = open(new GradScaler(engine, options));
        scaler.scale(1);
        return scaler;
    }

    private void gradient(Parameter parameter, double... values) {
        Tensor gradient = Tensor.zeros(arena, parameter.value().dtype(), values.length);
        IntStream.range(0, values.length).forEach(i -> gradient.set(i, values[i]));
        parameter.gradient(gradient);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void theScaleGrowsAndShrinksAsTorchs(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1);
        SGD sgd = open(new SGD(engine, List.of(p), HEAVY));
        GradScaler scaler = scaler(engine, OPTIONS);
        double[] gradients = {8, 8, 8, Double.NaN, 8, 8, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, 8};
        double[] scales = {8, 16, 16, 8, 8, 16, 8, 4, 4};
        int[] trackers = {1, 0, 1, 0, 1, 0, 0, 0, 1};
        for (int i = 0; i < gradients.length; i++) {
            gradient(p, gradients[i]);
            scaler.step(sgd);
            assertEquals(!Double.isFinite(gradients[i]), scaler.skipped(sgd));
            scaler.update();
            assertEquals(scales[i], scaler.getScale());
            assertEquals(trackers[i], scaler.stateDict().get("_growth_tracker"));
        }
        assertEquals(6, sgd.steps());
        assertEquals(4.0 * 3, scaler.scale(3));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void withHysteresisTheScaleShrinksOnlyAfterSeveralOverflows(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1);
        SGD sgd = open(new SGD(engine, List.of(p), HEAVY));
        GradScaler scaler = scaler(engine, OPTIONS.withHysteresis(2).withGrowthInterval(100));
        double[] gradients = {Double.NaN, 8, Double.NaN, Double.NaN, Double.NaN, 8, Double.NaN};
        double[] scales = {8, 8, 8, 4, 2, 2, 2};
        for (int i = 0; i < gradients.length; i++) {
            gradient(p, gradients[i]);
            scaler.step(sgd);
            scaler.update();
            assertEquals(scales[i], scaler.getScale(), "update " + i);
        }
    }

    private static final List<BiFunction<Engine, List<Parameter>, Optimizer>> OPTIMIZERS = List.of(
            (engine, parameters) -> new SGD(engine, parameters, HEAVY),
            (engine, parameters) -> new AdamW(engine, parameters, AdamW.Options.defaults()),
            (engine, parameters) -> new Lookahead(new AdamW(engine, parameters, AdamW.Options.defaults()), Lookahead.Options.defaults()));

    /** Steps with random gradients, of which some may be missing or overflow. */
    private List<Parameter> train(Engine engine, DType dtype, int kind, boolean scaled, int overflowing, boolean leftOut, boolean explicitly) {
        Random random = new Random(7);
        List<Parameter> parameters = new ArrayList<>();
        for (int size : new int[] {1, 1000, 0, 2049}) {
            Tensor value = Tensor.zeros(arena, dtype, size);
            IntStream.range(0, size).forEach(i -> value.set(i, random.nextGaussian()));
            parameters.add(Parameter.of("p" + size, value));
        }
        Optimizer optimizer = open(OPTIMIZERS.get(kind).apply(engine, parameters));
        GradScaler scaler = open(new GradScaler(engine, OPTIONS.withInitScale(1024).withGrowthInterval(1000)));
        for (int step = 0; step < 30; step++) {
            double scale = scaled ? scaler.scale(1) : 1;
            boolean overflows = step == overflowing;
            for (Parameter parameter : parameters) {
                double[] values = random.doubles(parameter.value().elements(), -1, 1).toArray();
                boolean absent = random.nextInt(4) == 0 && parameter != parameters.getFirst();
                if (overflows && values.length == 2049) {
                    values[2000] = Double.NEGATIVE_INFINITY;
                }
                Tensor gradient = Tensor.zeros(arena, dtype, values.length);
                for (int i = 0; i < values.length; i++) {
                    gradient.set(i, values[i]);
                    gradient.set(i, gradient.get(i) * scale);
                }
                parameter.gradient(absent && !overflows ? null : gradient);
            }
            if (overflows && leftOut) {
                continue;
            }
            if (scaled) {
                if (explicitly) {
                    scaler.unscale(optimizer);
                }
                scaler.step(optimizer);
                assertEquals(overflows, scaler.skipped(optimizer));
                scaler.update();
            } else {
                optimizer.step();
            }
        }
        parameters.forEach(parameter -> optimizer.state(parameter).forEach((key, state) -> states.add(state)));
        return parameters;
    }

    private final List<Tensor> states = new ArrayList<>();

    private void assertSame(List<Parameter> expected, List<Tensor> expectedStates, List<Parameter> actual, List<Tensor> actualStates) {
        for (int i = 0; i < expected.size(); i++) {
            Bits.assertSame(expected.get(i).value(), actual.get(i).value(), "" + expected.get(i));
        }
        assertEquals(expectedStates.size(), actualStates.size());
        for (int i = 0; i < expectedStates.size(); i++) {
            Bits.assertSame(expectedStates.get(i), actualStates.get(i), "state " + i);
        }
    }

    private List<Tensor> takeStates() {
        List<Tensor> taken = List.copyOf(states);
        states.clear();
        return taken;
    }

    /** A fused scaled step that trains worse: pytorch#88258. One count of steps for all parameters: DeepSpeed#8471. */
    @ParameterizedTest
    @CsvSource({"reference, 0", "reference, 1", "reference, 2", "cpu, 0", "cpu, 1", "cpu, 2"})
    void withoutOverflowARunWithAScaleOfAPowerOfTwoIsTheRunWithoutOneBitForBit(String name, int kind) {
        Engine engine = TestEngines.named(name);
        for (DType dtype : new DType[] {DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16}) {
            List<Parameter> without = train(engine, dtype, kind, false, -1, false, false);
            List<Tensor> expected = takeStates();
            for (boolean explicitly : new boolean[] {false, true}) {
                List<Parameter> with = train(engine, dtype, kind, true, -1, false, explicitly);
                assertSame(without, expected, with, takeStates());
            }
        }
    }

    /** Momentum that is touched by a skipped first step: LibreYOLO#771. */
    @ParameterizedTest
    @CsvSource({"reference, 0", "reference, 1", "reference, 2", "cpu, 0", "cpu, 1", "cpu, 2"})
    void anOverflowLeavesTheRunThatWouldHaveBeenWithoutThatStepBitForBit(String name, int kind) {
        Engine engine = TestEngines.named(name);
        for (int overflowing : new int[] {0, 7}) {
            List<Parameter> without = train(engine, DType.FLOAT32, kind, true, overflowing, true, false);
            List<Tensor> expected = takeStates();
            for (boolean explicitly : new boolean[] {false, true}) {
                List<Parameter> with = train(engine, DType.FLOAT32, kind, true, overflowing, false, explicitly);
                assertSame(without, expected, with, takeStates());
            }
        }
    }

    /** Gradients that are unscaled twice: pytorch#94060. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void gradientsThatWereUnscaledAreNotUnscaledAgainByTheStep(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1);
        SGD sgd = open(new SGD(engine, List.of(p), SGD.Options.defaults().withLr(1)));
        GradScaler scaler = scaler(engine, OPTIONS);
        gradient(p, 4);
        scaler.unscale(sgd);
        assertEquals(0.5, p.gradient().get(0));
        scaler.step(sgd);
        assertEquals(0.5, p.value().get(0));
        assertEquals(0.5, p.gradient().get(0));
        scaler.update();
        gradient(p, 4);
        scaler.step(sgd);
        assertEquals(0, p.value().get(0));
        assertEquals(4, p.gradient().get(0), "unscaled on the way only");
    }

    /** A skip that nobody sees, and a scheduler that goes on: accelerate#4242. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aSkipCanBeReadAfterwardsSoThatASchedulerNeedNotStep(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1);
        SGD sgd = open(new SGD(engine, List.of(p), HEAVY));
        StepLR scheduler = new StepLR(sgd, 1, 0.5);
        GradScaler scaler = scaler(engine, OPTIONS);
        assertFalse(scaler.skipped(sgd));
        for (double gradient : new double[] {Double.NaN, 1, Double.NaN}) {
            gradient(p, gradient);
            scaler.step(sgd);
            scaler.update();
            assertEquals(Double.isNaN(gradient), scaler.skipped(sgd), "also after the update");
            if (!scaler.skipped(sgd)) {
                scheduler.step();
            }
        }
        assertEquals(0.05, sgd.paramGroups().getFirst().lr());
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void severalOptimizersAreSkippedOneByOneAndShareTheScale(String name) {
        Engine engine = TestEngines.named(name);
        Parameter a = parameter("a", 1);
        Parameter b = parameter("b", 1);
        SGD first = open(new SGD(engine, List.of(a), HEAVY));
        AdamW second = open(new AdamW(engine, List.of(b), AdamW.Options.defaults()));
        GradScaler scaler = scaler(engine, OPTIONS);
        gradient(a, Double.NaN);
        gradient(b, 1);
        scaler.step(first);
        scaler.step(second);
        assertTrue(scaler.skipped(first));
        assertFalse(scaler.skipped(second));
        assertEquals(1, a.value().get(0));
        assertTrue(b.value().get(0) < 1);
        scaler.update();
        assertEquals(4, scaler.getScale());
        gradient(a, 1);
        scaler.step(first);
        scaler.step(second);
        scaler.update();
        assertEquals(4, scaler.getScale(), "what the iteration before found is forgotten");
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void callsOutOfOrderAreRefusedInTorchsWords(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1);
        SGD sgd = open(new SGD(engine, List.of(p), HEAVY));
        GradScaler scaler = open(new GradScaler(engine, OPTIONS));
        gradient(p, 8);
        String fix = "  This may indicate your script did not use scaler.scale(loss or outputs) earlier in the iteration.";
        refused(Code.INVALID, "Attempted step but _scale is None." + fix, () -> scaler.step(sgd));
        refused(Code.INVALID, "Attempted unscale_ but _scale is None." + fix, () -> scaler.unscale(sgd));
        refused(Code.INVALID, "Attempted update but _scale is None." + fix, scaler::update);
        scaler.scale(1);
        refused(Code.INVALID, "No inf checks were recorded prior to update.", scaler::update);
        scaler.unscale(sgd);
        refused(Code.INVALID, "unscale_() has already been called on this optimizer since the last update().", () -> scaler.unscale(sgd));
        assertEquals(1, p.gradient().get(0));
        scaler.step(sgd);
        double stepped = p.value().get(0);
        refused(Code.INVALID, "step() has already been called since the last update().", () -> scaler.step(sgd));
        refused(Code.INVALID, "unscale_() is being called after step().", () -> scaler.unscale(sgd));
        assertEquals(stepped, p.value().get(0));
        scaler.update();
        refused(Code.INVALID, "Closure use is not currently supported if GradScaler is enabled.", () -> scaler.step(sgd, () -> 1));
        p.gradient(null);
        refused(Code.INVALID, "No inf checks were recorded for this optimizer.", () -> scaler.step(sgd));
        scaler.unscale(sgd);
        refused(Code.INVALID, "No inf checks were recorded for this optimizer.", () -> scaler.step(sgd));
        for (double bad : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY, 1e40, 1e-60}) {
            refused(Code.INVALID, "a loss scale of " + bad, () -> scaler.update(bad));
            refused(Code.INVALID, "a loss scale of " + bad, () -> OPTIONS.withInitScale(bad));
        }
        refused(Code.INVALID, "The growth factor must be > 1.0", () -> OPTIONS.withGrowthFactor(1));
        refused(Code.INVALID, "The backoff factor must be < 1.0", () -> OPTIONS.withBackoffFactor(1));
        refused(Code.INVALID, "The growth factor must be > 1.0", () -> scaler.setGrowthFactor(0.5));
        LBFGS lbfgs = open(new LBFGS(engine, List.of(parameter("q", 1)), LBFGS.Options.defaults()));
        refused(Code.INVALID, "Closure use is not currently supported", () -> scaler.step(lbfgs));
        Engine other = TestEngines.named(name.equals("cpu") ? "reference" : "cpu");
        SGD foreign = open(new SGD(other, List.of(parameter("r", 1)), HEAVY));
        refused(Code.INVALID, "expected one engine", () -> scaler.step(foreign));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void float16GradientsAreUnscaledOnTheWayOnly(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = Parameter.of("p", Tensor.zeros(arena, DType.FLOAT16, 1));
        SGD sgd = open(new SGD(engine, List.of(p), SGD.Options.defaults().withLr(1)));
        GradScaler scaler = scaler(engine, OPTIONS);
        gradient(p, 8);
        refused(Code.INVALID, "Attempting to unscale FP16 gradients.", () -> scaler.unscale(sgd));
        assertEquals(8, p.gradient().get(0));
        scaler.step(sgd);
        assertEquals(-1, p.value().get(0));
        Parameter q = Parameter.of("q", Tensor.zeros(arena, DType.FLOAT16, 1));
        Lookahead apart = open(new Lookahead(new SGD(engine, List.of(q), HEAVY), Lookahead.Options.defaults()));
        gradient(q, 8);
        refused(Code.INVALID, "Attempting to unscale FP16 gradients.", () -> scaler.step(apart));
        assertEquals(0, q.value().get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void withoutBeingEnabledItPassesEverythingThrough(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1);
        SGD sgd = open(new SGD(engine, List.of(p), SGD.Options.defaults().withLr(1)));
        GradScaler scaler = open(new GradScaler(engine, OPTIONS.withEnabled(false)));
        gradient(p, 0.25);
        assertEquals(3, scaler.scale(3));
        assertEquals(1, scaler.getScale());
        scaler.unscale(sgd);
        scaler.step(sgd);
        scaler.step(sgd);
        assertEquals(5, scaler.step(sgd, () -> 5));
        scaler.update();
        scaler.update(0);
        assertEquals(0.25, p.value().get(0));
        assertFalse(scaler.isEnabled());
        assertEquals(Map.of(), scaler.stateDict());
        scaler.loadStateDict(Map.of());
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void theStateGoesOnWhereItWasSaved(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1);
        SGD sgd = open(new SGD(engine, List.of(p), HEAVY));
        GradScaler scaler = scaler(engine, OPTIONS);
        scaler.setBackoffFactor(0.25);
        gradient(p, 1);
        scaler.step(sgd);
        scaler.update();
        Map<String, Object> saved = scaler.stateDict();
        assertEquals(Map.of("scale", 8.0, "growth_factor", 2.0, "backoff_factor", 0.25, "growth_interval", 2, "_growth_tracker", 1), saved);
        GradScaler resumed = open(new GradScaler(engine));
        resumed.loadStateDict(saved);
        refused(Code.INVALID, "_scale is None", () -> resumed.step(sgd));
        assertEquals(8, resumed.scale(1));
        resumed.step(sgd);
        resumed.update();
        assertEquals(16, resumed.getScale());
        resumed.update(3);
        assertEquals(3, resumed.getScale());
        refused(Code.INVALID, "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler.",
                () -> resumed.loadStateDict(Map.of()));
        refused(Code.INVALID, "'growth_factor' is null", () -> resumed.loadStateDict(Map.of("scale", 2.0, "_growth_tracker", 1)));
        assertEquals(3, resumed.getScale());
    }

    /** What is found counts whether or not anything is unscaled: pytorch#95781; and any value but zero counts: FlagGems#5878. */
    @ParameterizedTest
    @ValueSource(floats = {0, 1, 2, Float.NaN})
    void anyFoundInfButZeroSkipsAStepThatUnscalesNothing(float found) {
        for (String name : new String[] {"reference", "cpu"}) {
            Engine engine = TestEngines.named(name);
            Parameter p = parameter("p", 1);
            gradient(p, 1);
            SGD sgd = open(new SGD(engine, List.of(p), SGD.Options.defaults().withLr(1)));
            try (Control control = engine.control()) {
                control.foundInf(found, Stream.DEFAULT);
                new JointStep(List.of(sgd)).step(new StepContext(control,
                        Extras.of(Extras.Part.SKIP), 0, 0));
            }
            assertEquals(found == 0 ? 0 : 1, p.value().get(0));
            assertEquals(found == 0 ? 1 : 0, sgd.steps());
        }
    }
}
