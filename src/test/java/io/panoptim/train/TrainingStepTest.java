package io.panoptim.train;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Column;
import io.panoptim.engine.Control;
import io.panoptim.engine.Engine;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.FTRL;
import io.panoptim.optim.GroupStatistics;
import io.panoptim.optim.LBFGS;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.SGD;
import io.panoptim.optim.SparseAdam;
import io.panoptim.optim.matrix.AdafactorHF;
import io.panoptim.optim.matrix.Dion;
import io.panoptim.optim.matrix.Muon;
import io.panoptim.optim.matrix.MuonWithAuxAdam;
import io.panoptim.optim.norm.LAMB;
import io.panoptim.optim.wrap.Lookahead;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.BiConsumer;
import java.util.function.BiFunction;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The whole step in one plan does what the separate calls do one after the other. */
@Tag("native")
class TrainingStepTest extends Opened {
    private static final int[] SIZES = {1, 1000, 0, 2049, 17};
    private static final int STEPS = 24;
    private static final List<Integer> OVERFLOWING = List.of(0, 7);
    private static final GradScaler.Options SCALING = GradScaler.Options.defaults().withInitScale(1536).withGrowthInterval(5);

    /** Makes the optimizers of some parameters. */
    private enum Kind {
        SGD((engine, p) -> List.of(new SGD(engine, p, io.panoptim.optim.SGD.Options.defaults().withLr(0.1).withMomentum(0.9)))),
        ADAMW((engine, p) -> List.of(new AdamW(engine, p, AdamW.Options.defaults().withAmsgrad(true)))),
        /** Whose own clipping takes the norm in another way. */
        LAMB((engine, p) -> List.of(new LAMB(engine, p, io.panoptim.optim.norm.LAMB.Options.defaults()
                .withMaxGradNorm(OptionalDouble.empty())))),
        TWO((engine, p) -> List.of(new AdamW(engine, p.subList(0, 2), AdamW.Options.defaults()),
                new SGD(engine, p.subList(2, p.size()), io.panoptim.optim.SGD.Options.defaults().withLr(0.1)))),
        APART((engine, p) -> List.of(new Lookahead(new AdamW(engine, p.subList(0, 3), AdamW.Options.defaults()), Lookahead.Options.defaults()),
                new SGD(engine, p.subList(3, p.size()), io.panoptim.optim.SGD.Options.defaults().withLr(0.1))));

        final BiFunction<Engine, List<Parameter>, List<Optimizer>> make;

        Kind(BiFunction<Engine, List<Parameter>, List<Optimizer>> make) {
            this.make = make;
        }
    }

    record Case(String engine, DType dtype, Kind kind, boolean rides) {}

    static java.util.stream.Stream<Case> cases() {
        List<Case> cases = new ArrayList<>();
        for (String engine : new String[] {"reference", "cpu"}) {
            for (DType dtype : new DType[] {DType.FLOAT32, DType.FLOAT64}) {
                for (Kind kind : Kind.values()) {
                    cases.add(new Case(engine, dtype, kind, true));
                    cases.add(new Case(engine, dtype, kind, false));
                }
            }
        }
        return cases.stream();
    }

    /** A model with everything that a step can be given. */
    private final class Model {
        final Engine engine;
        final List<Parameter> parameters = new ArrayList<>();
        final List<Optimizer> optimizers;
        final GradScaler scaler;
        final AveragedModel average;
        final Map<Parameter, Tensor> copies = new IdentityHashMap<>();
        final Random random = new Random(11);

        Model(Case given) {
            engine = TestEngines.named(given.engine);
            for (int size : SIZES) {
                Tensor value = Tensor.zeros(arena, given.dtype, size);
                IntStream.range(0, size).forEach(i -> value.set(i, random.nextGaussian()));
                Parameter parameter = Parameter.of("p" + size, value);
                parameters.add(parameter);
                copies.put(parameter, Tensor.zeros(arena, given.dtype == DType.FLOAT64 ? DType.FLOAT64 : DType.BFLOAT16, size));
            }
            optimizers = given.kind.make.apply(engine, parameters);
            opened.addAll(optimizers);
            scaler = open(new GradScaler(engine, SCALING));
            average = open(new AveragedModel(engine, parameters, Map.of("buffer", Tensor.of(arena, new float[] {1})),
                    given.rides ? Averaging.getEmaMultiAvgFn(0.9) : Averaging.getSwaAvgFn(), false));
        }

        void gradients(int step, boolean someAbsent) {
            double scale = scaler.scale(1);
            for (Parameter parameter : parameters) {
                Tensor gradient = Tensor.zeros(arena, parameter.value().dtype(), parameter.value().elements());
                for (int i = 0; i < gradient.elements(); i++) {
                    gradient.set(i, random.nextGaussian() * scale);
                }
                if (OVERFLOWING.contains(step) && gradient.elements() == 1000) {
                    gradient.set(999, step == 0 ? Double.POSITIVE_INFINITY : Double.NaN);
                }
                boolean absent = random.nextInt(5) == 0 && someAbsent && gradient.elements() != 1000 && gradient.elements() != 17;
                parameter.gradient(absent ? null : gradient);
            }
        }
    }

    private static Optimizer[] array(List<Optimizer> optimizers) {
        return optimizers.toArray(Optimizer[]::new);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void aStepWithEverythingIsTheSeparateCallsInSequenceBitForBit(Case given) {
        Model together = new Model(given);
        Model apart = new Model(given);
        TrainingStep step = open(TrainingStep.of(array(together.optimizers)).clipGradNorm(2).scaler(together.scaler).average(together.average)
                .copy(together.copies).zeroGrad().build());
        GradientClipper clipper = open(GradientClipper.of(array(apart.optimizers)));
        int skipped = 0;
        for (int i = 0; i < STEPS; i++) {
            together.gradients(i, i > 12);
            apart.gradients(i, i > 12);
            step.step();
            double norm = separately(apart, clipper);
            assertEquals(OVERFLOWING.contains(i), step.skipped());
            together.optimizers.forEach(optimizer -> assertEquals(step.skipped(), together.scaler.skipped(optimizer)));
            skipped += step.skipped() ? 1 : 0;
            if (!step.skipped()) {
                assertEquals(norm, step.norm().get(), "step " + i);
                assertEquals(norm, step.control().latest().norm(), "without waiting");
            }
            assertEquals(apart.scaler.stateDict(), together.scaler.stateDict());
            for (int j = 0; j < SIZES.length; j++) {
                Parameter expected = apart.parameters.get(j);
                Parameter actual = together.parameters.get(j);
                String what = given + ", step " + i + ", " + expected;
                Bits.assertSame(expected.value(), actual.value(), what);
                Bits.assertSame(apart.average.average(expected), together.average.average(actual), what + " average");
                Bits.assertSame(apart.copies.get(expected), together.copies.get(actual), what + " copy");
                if (actual.gradient() != null) {
                    Bits.assertSame(Tensor.zeros(arena, given.dtype, SIZES[j]), actual.gradient(), what + " gradient");
                }
            }
        }
        assertEquals(OVERFLOWING.size(), skipped);
        assertEquals(STEPS - skipped, together.average.nAveraged());
        for (int i = 0; i < SIZES.length; i++) {
            for (int j = 0; j < apart.optimizers.size(); j++) {
                Optimizer expected = apart.optimizers.get(j);
                Optimizer actual = together.optimizers.get(j);
                assertEquals(STEPS - skipped, actual.steps());
                if (expected.paramGroups().getFirst().params().contains(apart.parameters.get(i))) {
                    Map<String, Tensor> states = actual.state(together.parameters.get(i));
                    expected.state(apart.parameters.get(i)).forEach((key, state) -> Bits.assertSame(state, states.get(key), key));
                }
            }
        }
    }

    /** What a training loop calls in torch; an overflow skips all optimizers, and then there is nothing to average. */
    private double separately(Model model, GradientClipper clipper) {
        model.optimizers.forEach(model.scaler::unscale);
        double norm = clipper.clipGradNorm(2).get();
        boolean overflow = model.optimizers.stream().anyMatch(model.scaler::skipped);
        if (!overflow) {
            model.optimizers.forEach(model.scaler::step);
            model.average.updateParameters();
        }
        for (Parameter parameter : model.parameters) {
            cast(model.engine, parameter.value(), model.copies.get(parameter));
        }
        model.scaler.update();
        model.optimizers.forEach(optimizer -> optimizer.zeroGrad(false));
        return norm;
    }

    private static void cast(Engine engine, Tensor from, Tensor to) {
        try (Table table = engine.table(List.of(new TensorEntry("copy", from, null, List.of(), Map.of(Column.COPY, to), 0, 0,
                from.elements(), 0, 1)))) {
            engine.map(table, MapOperation.cast(Column.COPY, Column.VALUE), Stream.DEFAULT);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"BFLOAT16", "FLOAT16"})
    void halfTypesHaveTheSameBitsOnEveryEngine(DType dtype) {
        for (Kind kind : new Kind[] {Kind.SGD, Kind.ADAMW, Kind.LAMB, Kind.TWO}) {
            List<Model> models = new ArrayList<>();
            for (String name : new String[] {"reference", "cpu"}) {
                Model model = new Model(new Case(name, dtype, kind, true));
                models.add(model);
                TrainingStep step = open(TrainingStep.of(array(model.optimizers)).clipGradNorm(2, 1).scaler(model.scaler)
                        .average(model.average).copy(model.copies).flushSubnormals().statistics().build());
                for (int i = 0; i < STEPS; i++) {
                    model.gradients(i, false);
                    step.step();
                }
            }
            for (int j = 0; j < SIZES.length; j++) {
                Parameter expected = models.get(0).parameters.get(j);
                Parameter actual = models.get(1).parameters.get(j);
                Bits.assertSame(expected.value(), actual.value(), kind + " " + expected);
                Bits.assertSame(models.get(0).average.average(expected), models.get(1).average.average(actual), kind + " " + expected);
                Bits.assertSame(models.get(0).copies.get(expected), models.get(1).copies.get(actual), kind + " " + expected);
            }
        }
    }

    private Parameter parameter(String name, float value, float gradient) {
        return Parameter.of(name, Tensor.of(arena, new float[] {value})).gradient(Tensor.of(arena, new float[] {gradient}));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void withNothingAskedForItIsTheOptimizersOwnStepAlsoWithSparseGradients(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 3, 1);
        SGD sgd = open(new SGD(engine, List.of(p), SGD.Options.defaults().withLr(0.5)));
        Parameter rows = Parameter.of("rows", Tensor.of(arena, new float[] {1, 1}, 2, 1)).sparseGradient(new SparseGradient(
                Tensor.zeros(arena, DType.INT64, 1), Tensor.of(arena, new float[] {1}, 1, 1)));
        SparseAdam sparse = open(new SparseAdam(engine, List.of(rows), SparseAdam.Options.defaults().withLr(0.5)));
        TrainingStep step = open(TrainingStep.of(sgd, sparse).build());
        step.step();
        assertEquals(2.5, p.value().get(0));
        assertEquals(0.5, rows.value().get(0), 1e-6);
        assertEquals(1, rows.value().get(1));
        refused(Code.INVALID, "no norm is measured", step::norm);
        refused(Code.INVALID, "no norm is measured", step::control);
        refused(Code.INVALID, "no statistics are taken", step::statistics);
        TrainingStep clipping = open(TrainingStep.of(sgd, sparse).clipGradNorm(1).build());
        refused(Code.UNSUPPORTED, "sparse gradients are not measured", clipping::step);
        assertEquals(2.5, p.value().get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void normsOfEachGroupCanBeReadAfterAStep(String name) {
        Engine engine = TestEngines.named(name);
        Parameter a = Parameter.of("a", Tensor.of(arena, new float[] {3, 4})).gradient(Tensor.of(arena, new float[] {6, 8}));
        Parameter absent = Parameter.of("absent", Tensor.of(arena, new float[] {100}));
        Parameter b = parameter("b", 1, 0);
        SGD sgd = open(new SGD(engine, List.of(a, absent), SGD.Options.defaults().withLr(0.5)));
        sgd.addParamGroup(List.of(b), SGD.Options.defaults().withLr(0.5));
        TrainingStep step = open(TrainingStep.of(sgd).clipGradNorm(5).statistics().build());
        step.step();
        List<GroupStatistics> statistics = step.statistics();
        assertEquals(2, statistics.size());
        assertEquals(sgd.paramGroups().getFirst(), statistics.getFirst().group());
        assertEquals(10, step.norm().get());
        assertEquals(5, statistics.getFirst().gradientNorm(), 1e-5, "clipped");
        assertEquals(2.5, statistics.getFirst().updateNorm(), 1e-5);
        assertEquals(2.5, statistics.getFirst().parameterNorm(), 1e-5);
        assertEquals(0, statistics.getLast().gradientNorm());
        assertEquals(1, statistics.getLast().parameterNorm());
    }

    /** One count of steps for parameters of which some have no gradient: DeepSpeed#8471. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void eachParametersCountIsItsOwnWhereGradientsAreMissingInRandomSteps(String name) {
        Engine engine = TestEngines.named(name);
        List<Parameter> together = new ArrayList<>();
        List<Parameter> alone = new ArrayList<>();
        List<AdamW> optimizers = new ArrayList<>();
        DType[] dtypes = {DType.FLOAT32, DType.BFLOAT16, DType.FLOAT64, DType.FLOAT16, DType.FLOAT32};
        for (DType dtype : dtypes) {
            together.add(Parameter.of(Tensor.zeros(arena, dtype, 33)));
            alone.add(Parameter.of(Tensor.zeros(arena, dtype, 33)));
            optimizers.add(open(new AdamW(engine, List.of(alone.getLast()), AdamW.Options.defaults())));
        }
        AdamW adamW = open(new AdamW(engine, together, AdamW.Options.defaults()));
        TrainingStep step = open(TrainingStep.of(adamW).norm(2).zeroGrad().build());
        Random random = new Random(9);
        int[] counts = new int[dtypes.length];
        for (int i = 0; i < 60; i++) {
            for (int j = 0; j < dtypes.length; j++) {
                boolean present = random.nextBoolean();
                counts[j] += present ? 1 : 0;
                Tensor gradient = present ? Tensor.zeros(arena, dtypes[j], 33) : null;
                Tensor same = present ? Tensor.zeros(arena, dtypes[j], 33) : null;
                for (int k = 0; present && k < 33; k++) {
                    gradient.set(k, random.nextGaussian());
                    same.set(k, gradient.get(k));
                }
                together.get(j).gradient(gradient);
                alone.get(j).gradient(same);
            }
            step.step();
            optimizers.forEach(AdamW::step);
            for (int j = 0; j < dtypes.length; j++) {
                Bits.assertSame(alone.get(j).value(), together.get(j).value(), "parameter " + j + ", step " + i);
            }
        }
        for (int j = 0; j < dtypes.length; j++) {
            assertEquals(counts[j], adamW.state(together.get(j)).get("step").get(0));
        }
    }

    /** A norm that is waited for: apex#819. */
    @Test
    void clippingByTheNormOfSeveralTypesDoesNotWaitForTheDevice() {
        int[] waits = {0};
        Engine engine = watched(TestEngines.reference(), Engine.class, waits);
        List<Parameter> parameters = new ArrayList<>();
        for (DType dtype : new DType[] {DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16}) {
            Tensor gradient = Tensor.zeros(arena, dtype, 2);
            gradient.set(1, 2);
            parameters.add(Parameter.of(Tensor.zeros(arena, dtype, 2)).gradient(gradient));
        }
        AdamW adamW = open(new AdamW(engine, parameters, AdamW.Options.defaults()));
        AveragedModel average = open(new AveragedModel(engine, parameters, Averaging.getEmaMultiAvgFn(averaged -> 1 - 1.0 / averaged)));
        TrainingStep step = open(TrainingStep.of(adamW).clipGradNorm(1).average(average).build());
        for (int i = 0; i < 3; i++) {
            step.step();
        }
        assertEquals(4, step.control().latest().norm());
        assertEquals(0, waits[0]);
        assertEquals(4, step.norm().get());
        assertEquals(1, waits[0], "the watch works");
    }

    /** An engine, and then its control blocks, that count how often something waits for the device. */
    private static <T> T watched(T real, Class<T> type, int[] waits) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type, Watched.class}, (proxy, method, arguments) -> {
            if (method.getDeclaringClass() == Watched.class) {
                return real;
            }
            waits[0] += real instanceof Control && (method.getName().equals("read") || method.getName().equals("foundInf")
                    && method.getParameterCount() == 0) ? 1 : 0;
            for (int i = 0; arguments != null && i < arguments.length; i++) {
                arguments[i] = arguments[i] instanceof Watched watched ? watched.real() : arguments[i];
            }
            try {
                Object result = method.invoke(real, arguments);
                return result instanceof Control control ? watched(control, Control.class, waits) : result;
            } catch (InvocationTargetException refused) {
                throw refused.getCause();
            }
        }));
    }

    /** Tells what is watched. */
    private interface Watched {
        Object real();
    }

    /** A learning rate of zero, in whose presence 0 / -0 is NaN: pytorch#126514. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aLearningRateOfZeroLeavesParametersAsTheyAre(String name) {
        Engine engine = TestEngines.named(name);
        for (float gradient : new float[] {0, 1}) {
            Parameter p = parameter("p", 3, gradient);
            AdamW adamW = open(new AdamW(engine, List.of(p), AdamW.Options.defaults().withLr(0).withWeightDecay(0)));
            TrainingStep step = open(TrainingStep.of(adamW).clipGradNorm(1).build());
            step.step();
            step.step();
            assertEquals(3, p.value().get(0));
            assertTrue(Double.isFinite(adamW.state(p).get("exp_avg_sq").get(0)));
        }
    }

    /** A parameter, a gradient and an update of norm zero: marin#9054. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void tensorsOfZerosStayFiniteUnderClippingAndTrustRatios(String name) {
        Engine engine = TestEngines.named(name);
        Parameter zeros = parameter("zeros", 0, 0);
        Parameter still = parameter("still", 2, 0);
        LAMB lamb = open(new LAMB(engine, List.of(zeros, still), LAMB.Options.defaults()));
        TrainingStep step = open(TrainingStep.of(lamb).clipGradNorm(1).statistics().build());
        for (int i = 0; i < 3; i++) {
            step.step();
        }
        assertEquals(0, step.norm().get());
        assertEquals(0, zeros.value().get(0));
        assertTrue(Double.isFinite(still.value().get(0)));
        GradientClipper clipper = open(GradientClipper.of(lamb));
        clipper.adaptiveClipGrad();
        clipper.clipNorm(1);
        assertEquals(0, zeros.gradient().get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void subnormalStatesAreFlushedWhenAsked(String name) {
        Engine engine = TestEngines.named(name);
        for (boolean flushes : new boolean[] {false, true}) {
            Parameter p = parameter("p", 1, 1e-38f);
            SGD sgd = open(new SGD(engine, List.of(p), SGD.Options.defaults().withLr(1e-3).withMomentum(0.5)));
            TrainingStep.Builder builder = TrainingStep.of(sgd).zeroGrad();
            TrainingStep step = open((flushes ? builder.flushSubnormals() : builder).build());
            step.step();
            step.step();
            assertEquals(flushes, sgd.state(p).get("momentum_buffer").get(0) == 0);
        }
    }

    /** Only where all step do averages ride along: what has not changed is not looked up, and what has is. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void averagesFollowGroupsThatFreezeAndGradientsThatGo(String name) {
        Engine engine = TestEngines.named(name);
        List<List<Parameter>> models = new ArrayList<>();
        List<SGD> optimizers = new ArrayList<>();
        List<AveragedModel> averages = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            List<Parameter> model = List.of(parameter("p", 3, 1), parameter("q", 5, 2));
            SGD sgd = open(new SGD(engine, model.subList(0, 1), SGD.Options.defaults().withLr(0.5)));
            sgd.addParamGroup(model.subList(1, 2), SGD.Options.defaults().withLr(0.25));
            models.add(model);
            optimizers.add(sgd);
            averages.add(open(new AveragedModel(engine, model, Averaging.getEmaMultiAvgFn(0.75))));
        }
        TrainingStep step = open(TrainingStep.of(optimizers.getFirst()).average(averages.getFirst()).build());
        List<BiConsumer<SGD, Parameter>> changes = List.of((sgd, p) -> {}, (sgd, p) -> sgd.paramGroups().getFirst().frozen(true), (sgd, p) -> {},
                (sgd, p) -> sgd.paramGroups().getFirst().frozen(false), (sgd, p) -> p.gradient(null), (sgd, p) -> {},
                (sgd, p) -> p.gradient(Tensor.of(arena, new float[] {4})), (sgd, p) -> {});
        for (int i = 0; i < changes.size(); i++) {
            for (int j = 0; j < 2; j++) {
                changes.get(i).accept(optimizers.get(j), models.get(j).getFirst());
            }
            step.step();
            optimizers.getLast().step();
            averages.getLast().updateParameters();
            for (int j = 0; j < 2; j++) {
                Bits.assertSame(models.get(1).get(j).value(), models.get(0).get(j).value(), "change " + i);
                Bits.assertSame(averages.get(1).average(models.get(1).get(j)), averages.get(0).average(models.get(0).get(j)),
                        "average after change " + i);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aPlanThatIsClosedLeavesTheOptimizerAsItWas(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1, 1);
        SGD sgd = open(new SGD(engine, List.of(p), SGD.Options.defaults().withLr(0.5)));
        AveragedModel average = new AveragedModel(engine, List.of(p), Averaging.getEmaMultiAvgFn(0.5));
        TrainingStep step = TrainingStep.of(sgd).average(average).clipGradNorm(9).build();
        step.step();
        step.step();
        assertEquals(0.25, average.average(p).get(0));
        step.close();
        average.close();
        sgd.step();
        assertEquals(-0.5, p.value().get(0));
        step.close();
        refused(Code.CLOSED, "the plan is closed", step::step);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void whatOneOptimizerCannotDoIsRefusedBeforeAnotherHasStepped(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1, 1);
        Parameter q = Parameter.of("q", Tensor.zeros(arena, DType.FLOAT32, 3, 2));
        SGD first = open(new SGD(engine, List.of(p), SGD.Options.defaults().withLr(0.5)));
        SGD second = open(new SGD(engine, List.of(q), SGD.Options.defaults().withLr(0.5)));
        TrainingStep step = open(TrainingStep.of(first, second).zeroGrad().build());
        Tensor rows = Tensor.zeros(arena, DType.INT64, 1);
        q.sparseGradient(new SparseGradient(rows, Tensor.zeros(arena, DType.FLOAT32, 1, 2)));
        refused(Code.UNSUPPORTED, "sparse gradients are not measured", step::step);
        assertEquals(1, p.value().get(0));
        q.gradient(Tensor.zeros(arena, DType.FLOAT32, 3, 2));
        second.stream(new Stream(7));
        refused(Code.INVALID, "SGD and SGD work on different streams", step::step);
        assertEquals(1, p.value().get(0));
        second.stream(Stream.DEFAULT);
        step.step();
        assertEquals(0.5, p.value().get(0));
        SGD third = open(new SGD(engine, List.of(Parameter.of("same", p.value())), SGD.Options.defaults()));
        refused(Code.INVALID, "'same' float32[1] is optimized by two of the optimizers", () -> TrainingStep.of(first, third).zeroGrad().build());
    }

    /** Lets an optimizer refuse to step, and says how to mend that. */
    private interface Spoil {
        Runnable spoil(Optimizer optimizer, Parameter parameter);
    }

    /** An optimizer of one matrix that refuses a step. */
    private record Refusing(String name, BiFunction<Engine, List<Parameter>, Optimizer> make, Spoil spoil, String words) {
        @Override
        public String toString() {
            return name + ": " + words;
        }
    }

    private static Optimizer dion(Engine engine, List<Parameter> p) {
        return new Dion(engine, p, Dion.Options.defaults());
    }

    private static Optimizer muon(Engine engine, List<Parameter> p) {
        return new Muon(engine, p, Muon.Options.defaults());
    }

    private static Optimizer sgd(Engine engine, List<Parameter> p) {
        return new SGD(engine, p, SGD.Options.defaults().withMomentum(0.9));
    }

    private static Spoil element(double bad) {
        return (optimizer, parameter) -> {
            double good = parameter.gradient().get(5);
            parameter.gradient().set(5, bad);
            return () -> parameter.gradient().set(5, good);
        };
    }

    private static Spoil option(String key, Object bad) {
        return (optimizer, parameter) -> {
            Object good = optimizer.paramGroups().getFirst().get(key);
            optimizer.paramGroups().getFirst().set(key, bad);
            return () -> optimizer.paramGroups().getFirst().set(key, good);
        };
    }

    private static Runnable makeSparse(Optimizer optimizer, Parameter parameter) {
        Tensor good = parameter.gradient();
        Arena memory = Arena.ofAuto();
        parameter.sparseGradient(new SparseGradient(Tensor.zeros(memory, DType.INT64, 1), Tensor.zeros(memory, DType.FLOAT32, 1, 3)));
        return () -> parameter.gradient(good);
    }

    private static Runnable closeMemory(Optimizer optimizer, Parameter parameter) {
        Tensor good = parameter.gradient();
        try (Arena closed = Arena.ofShared()) {
            parameter.gradient(Tensor.zeros(closed, DType.FLOAT32, 4, 3));
        }
        return () -> parameter.gradient(good);
    }

    static java.util.stream.Stream<Refusing> refusing() {
        return java.util.stream.Stream.of(
                new Refusing("Dion", TrainingStepTest::dion, element(Double.NaN), "the gradients of [refusing] have elements that are "
                        + "infinite or NaN"),
                new Refusing("Dion", TrainingStepTest::dion, element(Double.NEGATIVE_INFINITY), "infinite or NaN"),
                new Refusing("Dion", TrainingStepTest::dion, option("rank_fraction", 0.3), "cannot change after the first step"),
                new Refusing("Lookahead", (engine, p) -> new Lookahead(dion(engine, p), Lookahead.Options.defaults()), element(Double.NaN),
                        "infinite or NaN"),
                new Refusing("Lookahead", (engine, p) -> new Lookahead(sgd(engine, p), Lookahead.Options.defaults()),
                        TrainingStepTest::makeSparse, "has a sparse gradient"),
                new Refusing("Muon", TrainingStepTest::muon, TrainingStepTest::makeSparse, "Muon does not support sparse gradients"),
                new Refusing("Muon", TrainingStepTest::muon, TrainingStepTest::closeMemory, "closed"),
                new Refusing("Muon", TrainingStepTest::muon, (optimizer, parameter) -> {
                    optimizer.stream(new Stream(7));
                    return () -> optimizer.stream(Stream.DEFAULT);
                }, "work on different streams"),
                new Refusing("MuonWithAuxAdam", (engine, p) -> new MuonWithAuxAdam(engine, p, MuonWithAuxAdam.Options.muon()),
                        option("use_muon", false), "use_muon of a group cannot change"),
                new Refusing("AdafactorHF", (engine, p) -> new AdafactorHF(engine, p, AdafactorHF.Options.defaults()), option("beta1", 0.9),
                        "beta1 cannot be turned on or off after the first step"),
                new Refusing("FTRL", (engine, p) -> new FTRL(engine, p, FTRL.Options.defaults()), option("lr", 0.0), "a learning rate of 0"),
                new Refusing("SGD", TrainingStepTest::sgd, TrainingStepTest::closeMemory, "closed"));
    }

    private Parameter matrix(String name, long seed) {
        Random random = new Random(seed);
        Tensor value = Tensor.zeros(arena, DType.FLOAT32, 4, 3);
        Tensor gradient = Tensor.zeros(arena, DType.FLOAT32, 4, 3);
        for (int i = 0; i < value.elements(); i++) {
            value.set(i, random.nextGaussian());
            gradient.set(i, random.nextGaussian());
        }
        return Parameter.of(name, value).gradient(gradient);
    }

    private static List<Double> elements(Tensor tensor) {
        return LongStream.range(0, tensor.elements()).mapToObj(tensor::get).toList();
    }

    /** Values, gradients, states and counts of steps. */
    private static Map<String, Object> everything(List<Optimizer> optimizers, List<Parameter> parameters) {
        Map<String, Object> all = new TreeMap<>();
        for (int i = 0; i < optimizers.size(); i++) {
            String name = parameters.get(i).name();
            all.put(name, elements(parameters.get(i).value()));
            all.put(name + ".gradient", elements(parameters.get(i).gradient()));
            optimizers.get(i).state(parameters.get(i)).forEach((key, state) -> all.put(name + "." + key, elements(state)));
            all.put(name + ".steps", optimizers.get(i).steps());
        }
        return all;
    }

    @ParameterizedTest
    @MethodSource("refusing")
    void whatOneOptimizerRefusesIsRefusedBeforeAnotherHasSteppedAndGradientsAreClipped(Refusing refusing) {
        for (String name : new String[] {"reference", "cpu"}) {
            for (boolean clips : new boolean[] {false, true}) {
                for (boolean fresh : new boolean[] {false, true}) {
                    List<Parameter> parameters = List.of(matrix("first", 1), matrix("refusing", 2), matrix("last", 3));
                    checkRefused(refusing, TestEngines.named(name), clips, fresh, parameters);
                    checkRefused(refusing, TestEngines.named(name), clips, fresh, parameters.subList(0, 2));
                }
            }
        }
    }

    /** With a third parameter there is an optimizer that cannot carry anything. */
    private void checkRefused(Refusing refusing, Engine engine, boolean clips, boolean fresh, List<Parameter> parameters) {
        List<Optimizer> optimizers = new ArrayList<>(List.of(new AdamW(engine, parameters.subList(0, 1), AdamW.Options.defaults()),
                refusing.make.apply(engine, parameters.subList(1, 2))));
        if (parameters.size() > 2) {
            optimizers.add(muon(engine, parameters.subList(2, 3)));
        }
        opened.addAll(optimizers);
        TrainingStep.Builder builder = TrainingStep.of(array(optimizers));
        TrainingStep step = open((clips ? builder.clipGradNorm(1) : builder).build());
        if (!fresh || refusing.words.contains("after the first step")) {
            step.step();
            step.step();
        }
        Map<String, Object> before = everything(optimizers, parameters);
        Runnable mend = refusing.spoil.spoil(optimizers.get(1), parameters.get(1));
        List<Double> spoiled = parameters.get(1).gradient() == null || !parameters.get(1).gradient().isAlive() ? List.of()
                : elements(parameters.get(1).gradient());
        refused(refusing.words, step::step);
        if (!spoiled.isEmpty()) {
            assertEquals(spoiled, elements(parameters.get(1).gradient()));
        }
        mend.run();
        assertEquals(before, everything(optimizers, parameters));
        step.step();
        for (int i = 0; i < optimizers.size(); i++) {
            assertEquals((long) before.get(parameters.get(i).name() + ".steps") + 1, optimizers.get(i).steps());
            assertNotEquals(before.get(parameters.get(i).name()), elements(parameters.get(i).value()));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void memoryThatWasClosedSinceTheLastStepIsNoticedBeforeAnotherHasStepped(String name) {
        Engine engine = TestEngines.named(name);
        for (int count = 2; count <= 3; count++) {
            List<Parameter> parameters = List.of(matrix("first", 1), matrix("closed", 2), matrix("last", 3)).subList(0, count);
            List<Optimizer> optimizers = new ArrayList<>(List.of(new AdamW(engine, parameters.subList(0, 1), AdamW.Options.defaults()),
                    sgd(engine, parameters.subList(1, 2))));
            if (count > 2) {
                optimizers.add(muon(engine, parameters.subList(2, 3)));
            }
            opened.addAll(optimizers);
            TrainingStep step = open(TrainingStep.of(array(optimizers)).build());
            Tensor open = parameters.get(1).gradient();
            try (Arena closing = Arena.ofShared()) {
                parameters.get(1).gradient(Tensor.zeros(closing, DType.FLOAT32, 4, 3));
                step.step();
            }
            List<Double> before = elements(parameters.getFirst().value());
            refused(Code.CLOSED, "the gradient of 'closed' lies in an arena that was closed", step::step);
            assertEquals(before, elements(parameters.getFirst().value()));
            assertEquals(1, optimizers.getFirst().steps());
            parameters.get(1).gradient(open);
            step.step();
            assertEquals(2, optimizers.getFirst().steps());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void anOverflowThatAScalerFindsSkipsTheStepOfOptimizersThatWouldRefuseIt(String name) {
        Engine engine = TestEngines.named(name);
        for (double bad : new double[] {Double.POSITIVE_INFINITY, Double.NaN}) {
            for (boolean clips : new boolean[] {false, true}) {
                List<Parameter> parameters = List.of(matrix("first", 1), matrix("second", 2), matrix("third", 3));
                List<Optimizer> optimizers = List.of(new AdamW(engine, parameters.subList(0, 1), AdamW.Options.defaults()),
                        dion(engine, parameters.subList(1, 2)),
                        new Lookahead(dion(engine, parameters.subList(2, 3)), Lookahead.Options.defaults()));
                opened.addAll(optimizers);
                GradScaler scaler = open(new GradScaler(engine, SCALING));
                TrainingStep.Builder builder = TrainingStep.of(array(optimizers)).scaler(scaler);
                TrainingStep step = open((clips ? builder.clipGradNorm(1) : builder).build());
                for (int i = 0; i < 6; i++) {
                    Parameter spoiled = parameters.get(i % 3);
                    scaler.scale(1);
                    for (Parameter parameter : parameters) {
                        parameter.gradient(matrix("gradient", i).value());
                    }
                    spoiled.gradient().set(7, bad);
                    Map<String, Object> before = everything(optimizers, parameters);
                    step.step();
                    assertTrue(step.skipped());
                    Map<String, Object> after = everything(optimizers, parameters);
                    before.keySet().removeIf(key -> key.endsWith(".gradient"));
                    after.keySet().removeIf(key -> key.endsWith(".gradient"));
                    assertEquals(before, after);
                    for (Parameter parameter : parameters) {
                        parameter.gradient(matrix("gradient", i).value());
                    }
                    scaler.scale(1);
                    step.step();
                    assertFalse(step.skipped());
                    optimizers.forEach(optimizer -> assertEquals((long) before.get("first.steps") + 1, optimizer.steps()));
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void averagesThatAreInTheModelAreNoticedBeforeAnythingIsWritten(String name) {
        Engine engine = TestEngines.named(name);
        for (boolean apart : new boolean[] {false, true}) {
            Parameter p = parameter("p", 1, 1);
            SGD sgd = new SGD(engine, List.of(p), SGD.Options.defaults().withLr(0.5));
            Optimizer optimizer = open(apart ? new Lookahead(sgd, Lookahead.Options.defaults()) : sgd);
            AveragedModel average = open(new AveragedModel(engine, List.of(p), Averaging.getEmaMultiAvgFn(0.5)));
            TrainingStep step = open(TrainingStep.of(optimizer).average(average).zeroGrad().build());
            average.swap();
            double before = p.value().get(0);
            refused(Code.INVALID, "the model's tensors hold the averages: call swap() first", step::step);
            assertEquals(before, p.value().get(0));
            assertEquals(1, p.gradient().get(0));
            average.swap();
            step.step();
        }
    }

    @Test
    void aPlanOfABrokenOptimizerIsClosedAllTheSame() {
        Engine engine = TestEngines.named("reference");
        Parameter p = parameter("p", 1, 1);
        SGD sgd = open(new SGD(engine, List.of(p), SGD.Options.defaults()));
        AveragedModel average = open(new AveragedModel(engine, List.of(p), Averaging.getEmaMultiAvgFn(0.5)));
        TrainingStep step = TrainingStep.of(sgd).average(average).clipGradNorm(1).build();
        sgd.close();
        step.close();
        step.close();
        SGD other = open(new SGD(engine, List.of(p), SGD.Options.defaults()));
        open(TrainingStep.of(other).average(average).build()).step();
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void whatDoesNotFitTogetherIsRefused(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1, 1);
        Parameter other = parameter("other", 1, 1);
        SGD sgd = open(new SGD(engine, List.of(p), SGD.Options.defaults()));
        Lookahead apart = open(new Lookahead(new SGD(engine, List.of(other), SGD.Options.defaults()), Lookahead.Options.defaults()));
        LBFGS lbfgs = open(new LBFGS(engine, List.of(parameter("q", 1, 1)), LBFGS.Options.defaults()));
        refused(Code.INVALID, "at least one optimizer", () -> TrainingStep.of());
        refused(Code.INVALID, "LBFGS evaluates a closure", () -> TrainingStep.of(sgd, lbfgs).build());
        refused(Code.UNSUPPORTED, "Lookahead does several passes of its own", () -> TrainingStep.of(sgd, apart).statistics().build());
        for (double bad : new double[] {Double.NaN, Double.NEGATIVE_INFINITY, -1}) {
            refused(Code.INVALID, "a maximum norm of " + bad, () -> TrainingStep.of(sgd).clipGradNorm(bad));
        }
        refused(Code.INVALID, "a norm of order 0.0", () -> TrainingStep.of(sgd).clipGradNorm(1, 0));
        refused(Code.INVALID, "'other' float32[1] is to be copied", () -> TrainingStep.of(sgd).copy(Map.of(other, p.value())).build());
        refused(Code.UNSUPPORTED, "the copy of 'p' is float64", () -> TrainingStep.of(sgd)
                .copy(Map.of(p, Tensor.zeros(arena, DType.FLOAT64, 1))).build());
        refused(Code.INVALID, "shapes and layouts must be equal", () -> TrainingStep.of(sgd)
                .copy(Map.of(p, Tensor.zeros(arena, DType.BFLOAT16, 2))).build());
        AveragedModel average = open(new AveragedModel(engine, List.of(p), Averaging.getEmaMultiAvgFn(0.5)));
        try (TrainingStep first = TrainingStep.of(sgd).average(average).build()) {
            refused(Code.INVALID, "updated by another step already", () -> TrainingStep.of(sgd).average(average).build());
            first.step();
        }
        TrainingStep.of(sgd).average(average).build().close();
        p.value().set(0, 1);
        Engine foreign = TestEngines.named(name.equals("cpu") ? "reference" : "cpu");
        refused(Code.INVALID, "expected one engine", () -> TrainingStep.of(sgd).scaler(open(new GradScaler(foreign))).build());
        GradScaler scaler = open(new GradScaler(engine));
        TrainingStep step = open(TrainingStep.of(sgd).scaler(scaler).build());
        refused(Code.INVALID, "Attempted step but _scale is None.", step::step);
        scaler.scale(1);
        scaler.unscale(sgd);
        refused(Code.INVALID, "unscale_() has already been called on this optimizer since the last update().", step::step);
        scaler.step(sgd);
        refused(Code.INVALID, "step() has already been called since the last update().", step::step);
        scaler.update();
        double before = p.value().get(0);
        p.gradient(null);
        refused(Code.INVALID, "No inf checks were recorded for this optimizer.", step::step);
        assertEquals(before, p.value().get(0));
        assertFalse(step.skipped());
    }
}
