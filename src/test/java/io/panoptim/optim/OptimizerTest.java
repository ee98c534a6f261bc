package io.panoptim.optim;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.Refusals;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** torch's conventions around a step, and what is refused before anything is written. */
@Tag("native")
class OptimizerTest {
    private static final SGD.Options SGD_OPTIONS = SGD.Options.defaults().withLr(0.5);

    private final Arena arena = Arena.ofShared();
    private final List<Optimizer> opened = new ArrayList<>();

    @AfterEach
    void close() {
        opened.forEach(Optimizer::close);
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }

    private SGD sgd(Engine engine, SGD.Options options, Parameter... parameters) {
        SGD sgd = new SGD(engine, List.of(parameters), options);
        opened.add(sgd);
        return sgd;
    }

    private AdamW adamW(Engine engine, Parameter... parameters) {
        AdamW adamW = new AdamW(engine, List.of(parameters), AdamW.Options.defaults());
        opened.add(adamW);
        return adamW;
    }

    private Tensor vector(double... values) {
        Tensor tensor = Tensor.zeros(arena, DType.FLOAT32, values.length);
        for (int i = 0; i < values.length; i++) {
            tensor.set(i, values[i]);
        }
        return tensor;
    }

    private Parameter parameter(String name, double value) {
        return Parameter.of(name, vector(value)).gradient(vector(1));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void independentDecayShrinksAGroupsValuesWhateverItsLearningRate(String name) {
        Engine engine = TestEngines.named(name);
        Parameter decaying = Parameter.of("decaying", vector(8, -4)).gradient(vector(1, 1));
        Parameter other = Parameter.of("other", vector(8)).gradient(vector(1));
        SGD sgd = sgd(engine, SGD_OPTIONS.withLr(0), decaying);
        sgd.addParamGroup(List.of(other), SGD_OPTIONS);
        ParamGroup group = sgd.paramGroups().getFirst();
        group.set("independent_weight_decay", 0.25);
        sgd.step();
        assertEquals(6, decaying.value().get(0));
        assertEquals(-3, decaying.value().get(1));
        assertEquals(7.5, other.value().get(0));
        assertTrue(sgd.toString().contains("    independent_weight_decay: 0.25\n    lr: 0.0\n"), sgd.toString());
        refused(Code.INVALID, "expected a part in [0, 1)", () -> group.independentWeightDecay(1));
        refused(Code.INVALID, "expected a part in [0, 1)", () -> group.independentWeightDecay(Double.NaN));
        assertEquals(0.25, group.get("independent_weight_decay"));
        group.lr(0.5);
        group.independentWeightDecay(0.5);
        sgd.step();
        assertEquals(2.5, decaying.value().get(0), "first the decay, then the update");
    }

    @Test
    void stateThatWasLookedAtBeforeTheFirstStepIsTheTablesFromThenOn() {
        Parameter p = parameter("p", 1);
        Parameter other = parameter("other", 1);
        Parameter late = Parameter.of("late", vector(1));
        Adagrad adagrad = new Adagrad(TestEngines.reference(), List.of(p, other), Adagrad.Options.defaults().withLr(0.5));
        opened.add(adagrad);
        adagrad.step();
        adagrad.addParamGroup(List.of(late), Adagrad.Options.defaults().withLr(0.5).withInitialAccumulatorValue(3));
        assertEquals(3, adagrad.state(late).get("sum").get(0));
        other.gradient(null);
        adagrad.step();
        late.gradient(vector(1));
        adagrad.step();
        assertEquals(3, adagrad.state(p).get("step").get(0));
        assertEquals(1, adagrad.state(late).get("step").get(0));
        assertEquals(4, adagrad.state(late).get("sum").get(0));
        assertEquals(1 - 0.5 / 2, late.value().get(0), 1e-6);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void updatesInPlace(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 2);
        sgd(engine, SGD_OPTIONS, p).step();
        assertEquals(1.5, p.value().get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aParameterWithoutGradientKeepsItsValueItsStateAndItsStepCount(String name) {
        Engine engine = TestEngines.named(name);
        Parameter always = parameter("always", 1);
        Parameter sometimes = parameter("sometimes", 1);
        Parameter never = Parameter.of("never", vector(1));
        AdamW optimizer = adamW(engine, always, sometimes, never);
        optimizer.step();
        Tensor gradient = sometimes.gradient();
        double before = sometimes.value().get(0);
        sometimes.gradient(null);
        optimizer.step();
        assertEquals(before, sometimes.value().get(0));
        sometimes.gradient(gradient);
        optimizer.step();
        assertEquals(3, optimizer.state(always).get("step").get(0));
        assertEquals(2, optimizer.state(sometimes).get("step").get(0));
        assertEquals(Map.of(), optimizer.state(never));
        assertEquals(1, never.value().get(0));
        always.gradient(null);
        sometimes.gradient(null);
        optimizer.step();
        assertEquals(3, optimizer.state(always).get("step").get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void followsGradientsThatMove(String name) {
        Engine engine = TestEngines.named(name);
        Parameter a = parameter("a", 0);
        Parameter b = parameter("b", 0);
        Tensor ones = a.gradient();
        Tensor twos = b.gradient();
        twos.set(0, 2);
        SGD optimizer = sgd(engine, SGD_OPTIONS.withLr(1), a, b);
        optimizer.step();
        a.gradient(twos);
        b.gradient(ones);
        optimizer.step();
        assertEquals(-3, a.value().get(0));
        assertEquals(-3, b.value().get(0));
        try (Arena other = Arena.ofShared()) {
            a.gradient(Tensor.of(other, new float[] {10}));
            optimizer.step();
            assertEquals(-13, a.value().get(0));
            a.gradient(twos);
            optimizer.step();
        }
        optimizer.step();
        assertEquals(-17, a.value().get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void groupsHaveOptionsOfTheirOwnThatCanChangeBetweenSteps(String name) {
        Engine engine = TestEngines.named(name);
        Parameter a = parameter("a", 0);
        Parameter b = parameter("b", 0);
        SGD optimizer = sgd(engine, SGD_OPTIONS, a);
        optimizer.step();
        optimizer.addParamGroup(List.of(b), SGD_OPTIONS.withLr(4));
        optimizer.step();
        optimizer.paramGroups().get(1).lr(8);
        optimizer.paramGroups().get(0).set("maximize", true);
        optimizer.step();
        assertEquals(-0.5, a.value().get(0));
        assertEquals(-12, b.value().get(0));
    }

    @Test
    void anOptionThatMayBeNoneIsReadAndChangedAsSuch() {
        try (ADOPT optimizer = new ADOPT(TestEngines.reference(), List.of(parameter("p", 0)), ADOPT.Options.defaults())) {
            ParamGroup group = optimizer.paramGroups().getFirst();
            assertEquals(OptionalDouble.of(0.25), group.get("clip_exp"));
            group.set("clip_exp", OptionalDouble.empty());
            assertEquals(OptionalDouble.empty(), group.get("clip_exp"));
            refused(Code.INVALID, "takes a number or none, not NaN", () -> group.set("clip_exp", Double.NaN));
            refused(Code.INVALID, "takes a number, not OptionalDouble.empty", () -> group.set("eps", OptionalDouble.empty()));
            group.set("clip_exp", 1);
            assertEquals(OptionalDouble.of(1), group.get("clip_exp"));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void momentumCanBeTurnedOnLater(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 0);
        SGD optimizer = sgd(engine, SGD_OPTIONS.withLr(1), p);
        optimizer.step();
        assertEquals(0, optimizer.stateBytes());
        optimizer.paramGroups().getFirst().set("momentum", 0.5);
        optimizer.step();
        optimizer.step();
        assertEquals(-3.5, p.value().get(0));
        assertEquals(1.5, optimizer.state(p).get("momentum_buffer").get(0));
        assertEquals(4, optimizer.stateBytes());
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void theSameSegmentGivenTwiceIsOneTiedParameter(String name) {
        Engine engine = TestEngines.named(name);
        Tensor shared = vector(1);
        Parameter a = Parameter.of("a", shared).gradient(vector(1));
        Parameter b = Parameter.of("b", Tensor.of(shared.segment(), DType.FLOAT32, 1));
        SGD optimizer = sgd(engine, SGD_OPTIONS, a, b);
        optimizer.step();
        assertEquals(0.5, shared.get(0));
        b.gradient(vector(1));
        refused(Code.INVALID, "accumulate them in one tensor", optimizer::step);
        assertEquals(0.5, shared.get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void anyDenseLayoutIsWelcomeIfValueAndGradientShareIt(String name) {
        Engine engine = TestEngines.named(name);
        Tensor transposed = Tensor.of(arena.allocate(24), DType.FLOAT32, new long[] {2, 3}, new long[] {1, 2});
        Tensor gradient = Tensor.of(arena.allocate(24), DType.FLOAT32, new long[] {2, 3}, new long[] {1, 2});
        gradient.set(5, 1);
        sgd(engine, SGD_OPTIONS, Parameter.of(transposed).gradient(gradient)).step();
        assertEquals(-0.5, transposed.get(5));
        refused(Code.INVALID, "strides", () -> Parameter.of(transposed).gradient(Tensor.zeros(arena, DType.FLOAT32, 2, 3)));
        refused(Code.INVALID, "only dense layouts", () ->
                Tensor.of(arena.allocate(64), DType.FLOAT32, new long[] {2, 3}, new long[] {4, 1}));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void emptyTensorsAnywhereAndNothingElse(String name) {
        Engine engine = TestEngines.named(name);
        Parameter first = Parameter.of("first", vector()).gradient(vector());
        Parameter p = parameter("p", 1);
        Parameter last = Parameter.of("last", vector()).gradient(vector());
        AdamW optimizer = adamW(engine, first, p, last);
        optimizer.step();
        assertTrue(p.value().get(0) < 1);
        assertEquals(1, optimizer.state(last).get("step").get(0));
        AdamW nothing = adamW(engine, first, last);
        nothing.step();
        assertEquals(1, nothing.state(first).get("step").get(0));
        AdamW twice = adamW(engine, first, p, first);
        twice.step();
        assertEquals(1, twice.state(first).get("step").get(0));
        refused(Code.INVALID, "some parameters appear in more than one parameter group",
                () -> twice.addParamGroup(List.of(first), AdamW.Options.defaults()));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void zeroGradTakesGradientsAwayOrFillsThemWithZeros(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1);
        SGD optimizer = sgd(engine, SGD_OPTIONS, p);
        Tensor gradient = p.gradient();
        optimizer.zeroGrad(false);
        assertSame(gradient, p.gradient());
        assertEquals(0, gradient.get(0));
        optimizer.zeroGrad();
        assertSame(null, p.gradient());
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aClosureReturnsItsLossAndIfItThrowsNothingIsUpdated(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1);
        SGD optimizer = sgd(engine, SGD_OPTIONS, p);
        assertEquals(42, optimizer.step(() -> 42));
        assertThrows(ArithmeticException.class, () -> optimizer.step(() -> {
            throw new ArithmeticException();
        }));
        assertEquals(0.5, p.value().get(0));
        assertEquals(1, optimizer.steps());
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void tensorsThatCannotBeUsedAreRefusedBeforeAnythingIsWritten(String name) {
        Engine engine = TestEngines.named(name);
        Parameter good = parameter("good", 1);
        Arena gone = Arena.ofShared();
        Parameter closed = Parameter.of("closed", Tensor.of(gone, new float[] {1})).gradient(vector(1));
        SGD withClosed = sgd(engine, SGD_OPTIONS, good, closed);
        withClosed.step();
        gone.close();
        refused(Code.CLOSED, "the value of 'closed' lies in an arena that was closed", withClosed::step);

        Parameter readOnly = Parameter.of("readOnly",
                Tensor.of(vector(1).segment().asReadOnly(), DType.FLOAT32, 1)).gradient(vector(1));
        SGD withReadOnly = sgd(engine, SGD_OPTIONS, good, readOnly);
        refused(Code.INVALID, "read-only", withReadOnly::step);

        Parameter odd = Parameter.of("odd", Tensor.of(arena.allocate(8).asSlice(1), DType.FLOAT32, 1)).gradient(vector(1));
        refused(Code.INVALID, "not a multiple of its element size", sgd(engine, SGD_OPTIONS, good, odd)::step);

        Tensor two = vector(1, 1);
        Parameter whole = Parameter.of("whole", two).gradient(vector(1, 1));
        Parameter half = Parameter.of("half", Tensor.of(two.segment().asSlice(4), DType.FLOAT32, 1)).gradient(vector(1));
        SGD overlapping = sgd(engine, SGD_OPTIONS, good, whole, half);
        refused(Code.INVALID, "overlaps the value of 'whole'", overlapping::step);
        Parameter itself = Parameter.of("itself", two).gradient(two);
        refused(Code.INVALID, "overlaps", sgd(engine, SGD_OPTIONS, good, itself)::step);

        assertEquals(0.5, good.value().get(0));
        assertEquals(1, two.get(0));
        assertEquals(1, withClosed.steps());
    }

    @Test
    void heapMemoryIsForTheReferenceEngineOnly() {
        Parameter heap = Parameter.of("heap", Tensor.of(MemorySegment.ofArray(new float[] {1}), DType.FLOAT32, 1))
                .gradient(Tensor.of(MemorySegment.ofArray(new float[] {1}), DType.FLOAT32, 1));
        sgd(TestEngines.reference(), SGD_OPTIONS, heap).step();
        assertEquals(0.5, heap.value().get(0));
        refused(Code.INVALID, "lies on the Java heap", sgd(TestEngines.cpu(), SGD_OPTIONS, heap)::step);
        assertEquals(0.5, heap.value().get(0));
    }

    @Test
    void gradientsMustMatchTheirValues() {
        Parameter p = Parameter.of("p", vector(1, 2));
        refused(Code.INVALID, "shape", () -> p.gradient(vector(1)));
        refused(Code.INVALID, "type", () -> p.gradient(Tensor.zeros(arena, DType.FLOAT64, 2)));
        refused(Code.INVALID, "device", () -> p.gradient(Tensor.ofAddress(4096, arena,
                Device.cuda(0), DType.FLOAT32, 2)));
        assertSame(null, p.gradient());
    }

    @Test
    void groupsAreCheckedInTorchsWords() {
        Engine engine = TestEngines.reference();
        refused(Code.INVALID, "optimizer got an empty parameter list", () -> sgd(engine, SGD_OPTIONS));
        Parameter p = parameter("p", 1);
        SGD optimizer = sgd(engine, SGD_OPTIONS, p);
        refused(Code.INVALID, "some parameters appear in more than one parameter group",
                () -> optimizer.addParamGroup(List.of(p), SGD_OPTIONS));
        refused(Code.INVALID, "all optimizer param groups should be with/without names. cannot add param group without names",
                () -> optimizer.addParamGroup(List.of(Parameter.of(vector(1))), SGD_OPTIONS));
        refused(Code.INVALID, "Some param names are missing",
                () -> optimizer.addParamGroup(List.of(parameter("q", 1), Parameter.of(vector(1))), SGD_OPTIONS));
        assertEquals(1, optimizer.paramGroups().size());
    }

    @Test
    void hyperparametersOutOfRangeOrNanAreRefusedInTorchsWords() {
        assertAll(
                () -> refused(Code.INVALID, "Invalid learning rate: -1.0", () -> SGD_OPTIONS.withLr(-1)),
                () -> refused(Code.INVALID, "Invalid learning rate: NaN", () -> AdamW.Options.defaults().withLr(Double.NaN)),
                () -> refused(Code.INVALID, "Invalid momentum value: -0.1", () -> SGD_OPTIONS.withMomentum(-0.1)),
                () -> refused(Code.INVALID, "Invalid dampening value: NaN", () -> SGD_OPTIONS.withDampening(Double.NaN)),
                () -> refused(Code.INVALID, "Invalid weight_decay value: -1.0", () -> SGD_OPTIONS.withWeightDecay(-1)),
                () -> refused(Code.INVALID, "Nesterov momentum requires a momentum and zero dampening",
                        () -> SGD_OPTIONS.withNesterov(true)),
                () -> refused(Code.INVALID, "Invalid epsilon value: -1.0E-8", () -> Adam.Options.defaults().withEps(-1e-8)),
                () -> refused(Code.INVALID, "Invalid beta parameter at index 0: 1.0",
                        () -> Adam.Options.defaults().withBetas(1, 0.9)),
                () -> refused(Code.INVALID, "Invalid beta parameter at index 1: NaN",
                        () -> Adam.Options.defaults().withBetas(0.9, Double.NaN)),
                () -> refused(Code.INVALID, "Invalid weight_decay value: NaN",
                        () -> AdamW.Options.defaults().withWeightDecay(Double.NaN)),
                () -> refused(Code.INVALID, "Invalid momentum value: 1.0", () -> Signum.Options.defaults().withMomentum(1)),
                () -> refused(Code.INVALID, "Invalid beta parameter at index 2: 1.0",
                        () -> Adan.Options.defaults().withBetas(0.9, 0.9, 1)),
                () -> refused(Code.INVALID, "Invalid alpha value: -1.0", () -> AdEMAMix.Options.defaults().withAlpha(-1)),
                () -> refused(Code.INVALID, "Invalid beta3_warmup value: -1.0",
                        () -> AdEMAMix.Options.defaults().withBeta3Warmup(OptionalDouble.of(-1))),
                () -> refused(Code.INVALID, "Invalid alpha_warmup value: NaN",
                        () -> AdEMAMix.Options.defaults().withAlphaWarmup(OptionalDouble.of(Double.NaN))),
                () -> refused(Code.INVALID, "Invalid clip_exp value: NaN",
                        () -> ADOPT.Options.defaults().withClipExp(OptionalDouble.of(Double.NaN))));
        ParamGroup group = sgd(TestEngines.reference(), SGD_OPTIONS, parameter("p", 1)).paramGroups().getFirst();
        refused(Code.INVALID, "unknown option 'lrr'", () -> group.set("lrr", 1));
        refused(Code.INVALID, "Invalid momentum value", () -> group.set("momentum", -1.0));
        refused(Code.INVALID, "takes a boolean", () -> group.set("nesterov", 1.0));
        refused(Code.INVALID, "Invalid learning rate", () -> group.lr(Double.NaN));
        assertEquals(0.5, group.lr());
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void closingFreesTheStateOnceAndLaterCallsSaySo(String name) {
        Engine engine = TestEngines.named(name);
        AdamW optimizer = adamW(engine, parameter("p", 1));
        assertEquals(8, optimizer.stateBytes());
        optimizer.step();
        Tensor state = optimizer.state(optimizer.paramGroups().getFirst().params().getFirst()).get("exp_avg");
        optimizer.close();
        optimizer.close();
        assertFalse(state.segment().scope().isAlive());
        refused(Code.CLOSED, "the optimizer is closed", optimizer::step);
    }

    @Test
    void afterAnUnforeseenFaultEveryCallSaysSoAndClosingWorks() {
        Parameter p = parameter("p", 1);
        SGD optimizer = sgd(TestEngines.reference(), SGD_OPTIONS, p);
        optimizer.step();
        ParamGroup group = optimizer.paramGroups().getFirst();
        IllegalStateException thrown = new IllegalStateException("lost");
        Engine failing = FailingEngine.after(TestEngines.reference(), thrown);
        SGD broken = sgd(failing, SGD_OPTIONS, parameter("q", 1));
        assertSame(thrown, assertThrows(IllegalStateException.class, broken::step));
        refused(Code.FAULT, "an earlier step failed half-way", broken::step);
        refused(Code.FAULT, "an earlier step failed half-way", broken::zeroGrad);
        broken.close();
        assertEquals(0.5, group.lr());
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void useFromTwoThreadsAtATimeIsRefused(String name) throws InterruptedException {
        Engine engine = TestEngines.named(name);
        SGD optimizer = sgd(engine, SGD_OPTIONS, parameter("p", 1));
        AtomicReference<Throwable> refusal = new AtomicReference<>();
        optimizer.step(() -> 0);
        FailingEngine blocking = FailingEngine.during(engine, () -> {
            Thread other = new Thread(() -> refusal.set(assertThrows(PanoptimException.class, () -> opened.getLast().step())));
            other.start();
            try {
                other.join();
            } catch (InterruptedException interrupted) {
                throw new AssertionError(interrupted);
            }
        });
        sgd(blocking, SGD_OPTIONS, parameter("q", 1)).step();
        assertEquals(Code.CONCURRENT, ((PanoptimException) refusal.get()).code());
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aRefusedFirstStepLeavesNoStateAndNoFault(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameter("p", 1);
        Parameter odd = Parameter.of("odd", Tensor.of(arena.allocate(8).asSlice(1), DType.FLOAT32, 1)).gradient(vector(1));
        AdamW optimizer = adamW(engine, p, odd);
        refused(Code.INVALID, "element size", optimizer::step);
        assertEquals(Map.of(), optimizer.state(p));
        odd.gradient(null);
        optimizer.step();
        assertEquals(1, optimizer.state(p).get("step").get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void stateThatDoesNotFitInMemoryIsRefusedWithoutAFault(String name) {
        Engine engine = TestEngines.named(name);
        Tensor huge = Tensor.of(MemorySegment.ofAddress(4096).reinterpret(1L << 60), DType.FLOAT32, 1L << 58);
        Tensor gradient = Tensor.of(MemorySegment.ofAddress((1L << 60) + 4096).reinterpret(1L << 60), DType.FLOAT32, 1L << 58);
        Parameter p = Parameter.of("huge", huge).gradient(gradient);
        AdamW optimizer = adamW(engine, p, parameter("q", 1));
        refused(Code.EXHAUSTED, "no memory left", optimizer::step);
        p.gradient(null);
        optimizer.step();
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aParameterWithoutGradientMayLieInAClosedArena(String name) {
        Engine engine = TestEngines.named(name);
        Arena gone = Arena.ofShared();
        Parameter closed = Parameter.of("closed", Tensor.of(gone, new float[] {1})).gradient(vector(1));
        Parameter p = parameter("p", 1);
        Parameter late = Parameter.of("late", vector(1));
        SGD optimizer = sgd(engine, SGD_OPTIONS, closed, p, late);
        optimizer.step();
        closed.gradient(null);
        gone.close();
        late.gradient(vector(1));
        optimizer.step();
        assertEquals(0, p.value().get(0));
        assertEquals(0.5, late.value().get(0));
        closed.gradient(vector(1));
        refused(Code.CLOSED, "the value of 'closed'", optimizer::step);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void bytesSeenAsTwoTypesAreNotOneParameter(String name) {
        Engine engine = TestEngines.named(name);
        Tensor floats = vector(1, 1);
        Parameter a = Parameter.of("a", floats).gradient(vector(1, 1));
        Parameter b = Parameter.of("b", Tensor.of(floats.segment(), DType.BFLOAT16, 4))
                .gradient(Tensor.zeros(arena, DType.BFLOAT16, 4));
        refused(Code.INVALID, "overlaps the value of 'a'", sgd(engine, SGD_OPTIONS, a, b)::step);
        assertEquals(1, floats.get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void zeroGradOverAClosedGradientZeroesNone(String name) {
        Engine engine = TestEngines.named(name);
        Parameter a = parameter("a", 1);
        Arena gone = Arena.ofShared();
        Parameter b = Parameter.of("b", vector(1)).gradient(Tensor.of(gone, new float[] {1}));
        SGD optimizer = sgd(engine, SGD_OPTIONS, a, b);
        gone.close();
        refused(Code.CLOSED, "arena that was closed", () -> optimizer.zeroGrad(false));
        assertEquals(1, a.gradient().get(0));
    }

    @Test
    void aScheduleMayLeaveTheRangeOfTheConstructorAndOtherOptionsStillChange() {
        ParamGroup group = sgd(TestEngines.reference(), SGD_OPTIONS, parameter("p", 1)).paramGroups().getFirst();
        group.lr(-1e-19);
        group.set("momentum", 0.5);
        assertEquals(0.5, group.get("momentum"));
        assertEquals(-1e-19, group.lr());
        refused(Code.INVALID, "Invalid learning rate: -1.0", () -> group.set("lr", -1.0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aStateKeepsItsMeaningWhenOptionsGiveItAnotherSlot(String name) {
        Parameter p = parameter("p", 1);
        RMSprop optimizer = new RMSprop(TestEngines.named(name), List.of(p), RMSprop.Options.defaults().withCentered(true));
        opened.add(optimizer);
        optimizer.step();
        Tensor gradAvg = optimizer.state(p).get("grad_avg");
        double before = gradAvg.get(0);
        ParamGroup group = optimizer.paramGroups().getFirst();
        group.set("centered", false);
        group.set("momentum", 0.9);
        optimizer.step();
        assertEquals(before, gradAvg.get(0), "not used");
        assertTrue(optimizer.state(p).get("momentum_buffer").get(0) > 1);
        group.set("centered", true);
        optimizer.step();
        assertSame(gradAvg, optimizer.state(p).get("grad_avg"));
        assertEquals((float) (0.99 * before + 0.01), gradAvg.get(0), 1e-8);
    }

    @Test
    void aClosedOptimizerDoesNotEvaluateAClosure() {
        SGD optimizer = sgd(TestEngines.reference(), SGD_OPTIONS, parameter("p", 1));
        optimizer.close();
        refused(Code.CLOSED, "the optimizer is closed", () -> optimizer.step(() -> {
            throw new AssertionError();
        }));
    }

    @Test
    void printsItsGroupsAsTorchDoes() {
        assertEquals("""
                SGD (
                Parameter Group 0
                    caution: false
                    dampening: 0.0
                    lr: 0.5
                    maximize: false
                    momentum: 0.0
                    nesterov: false
                    param_names: ['p']
                    weight_decay: 0.0
                )""", sgd(TestEngines.reference(), SGD_OPTIONS, parameter("p", 1)).toString());
    }

    /** What an engine does not run is refused when the optimizer is built, before it has allocated anything. */
    @ParameterizedTest
    @ValueSource(strings = {"cpu", "cuda"})
    void aRuleThatAnEngineDoesNotRunIsRefusedAtOnce(String name) {
        Engine engine = TestEngines.named(name);
        Refusals.refused(Code.UNSUPPORTED, name.equals("cpu") ? "which is defined in Java only" : "does not run rules of a user's own yet",
                () -> new OwnOptimizer(engine, OwnOptimizer.LAMBDA, List.of(), new OwnOptimizer.Options(1e-3, 0, false, false, false)));
    }
}
