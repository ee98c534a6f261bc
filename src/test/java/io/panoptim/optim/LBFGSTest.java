package io.panoptim.optim;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.optim.LBFGS.LineSearch;
import io.panoptim.schedule.StepLR;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.DoubleSupplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What LbfgsGoldenTest cannot show: other types and sizes, what closures may do, what is refused. */
@Tag("native")
class LBFGSTest {
    private static final LBFGS.Options FIXED = LBFGS.Options.defaults().withLr(0.3).withMaxIter(4).withHistorySize(3);
    private static final LBFGS.Options WOLFE = FIXED.withLr(1).withLineSearchFn(LineSearch.STRONG_WOLFE);

    private final Arena arena = Arena.ofShared();
    private final List<Optimizer> opened = new ArrayList<>();

    @AfterEach
    void close() {
        opened.forEach(Optimizer::close);
        arena.close();
    }

    private LBFGS lbfgs(Engine engine, LBFGS.Options options, Parameter... parameters) {
        LBFGS lbfgs = new LBFGS(engine, List.of(parameters), options);
        opened.add(lbfgs);
        return lbfgs;
    }

    /** Parameters that lie at odd places, with values that depend on their place in the list. */
    private Parameter[] parameters(DType dtype, long... sizes) {
        return IntStream.range(0, sizes.length).mapToObj(i -> {
            long bytes = sizes[i] * dtype.bytes();
            Tensor value = Tensor.of(arena.allocate(bytes + 128, 64).asSlice((2 * i + 1) * dtype.bytes(), bytes), dtype, sizes[i]);
            for (long k = 0; k < sizes[i]; k++) {
                value.set(k, ((k + 3 * i) % 17 - 8) / 16.0);
            }
            return Parameter.of("p" + i, value).gradient(Tensor.zeros(arena, dtype, sizes[i]));
        }).toArray(Parameter[]::new);
    }

    /** A bowl with other curvatures for every parameter and element; the loss does not depend on the order of the parameters. */
    private static DoubleSupplier bowl(Parameter... parameters) {
        return () -> {
            double loss = 0;
            for (Parameter parameter : Stream.of(parameters).sorted((a, b) -> a.name().compareTo(b.name())).toList()) {
                for (long k = 0; k < parameter.value().elements(); k++) {
                    double curvature = 1 + k % 5 + parameter.name().charAt(1) % 3;
                    double x = parameter.value().get(k) - 0.125;
                    loss += 0.5 * curvature * x * x;
                    parameter.gradient().set(k, curvature * x);
                }
            }
            return loss;
        };
    }

    static List<Arguments> types() {
        return Stream.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16)
                .flatMap(dtype -> Stream.of(FIXED, WOLFE).map(options -> Arguments.of(dtype, options))).toList();
    }

    @ParameterizedTest
    @MethodSource("types")
    void everyEngineGivesTheSameBits(DType dtype, LBFGS.Options options) {
        long[] sizes = {1, 17, 0, 3001, 33_000};
        List<Engine> engines = TestEngines.all();
        Parameter[] expected = parameters(dtype, sizes);
        LBFGS reference = lbfgs(TestEngines.reference(), options, expected);
        List<Parameter[]> copies = engines.stream().map(engine -> parameters(dtype, sizes)).toList();
        List<LBFGS> optimizers = IntStream.range(0, engines.size())
                .mapToObj(i -> lbfgs(engines.get(i), options, copies.get(i))).toList();
        double first = Double.NaN;
        double loss = Double.NaN;
        for (int step = 0; step < 2; step++) {
            loss = reference.step(bowl(expected));
            first = step == 0 ? loss : first;
            for (int i = 0; i < engines.size(); i++) {
                assertEquals(loss, optimizers.get(i).step(bowl(copies.get(i))));
                String when = ", step " + step + ", " + engines.get(i).description();
                for (int k = 0; k < sizes.length; k++) {
                    Bits.assertSame(expected[k].value(), copies.get(i)[k].value(), "p" + k + when);
                }
                Map<String, Tensor> state = optimizers.get(i).state(copies.get(i)[0]);
                reference.state(expected[0]).forEach((key, tensor) -> Bits.assertSame(tensor, state.get(key), key + when));
            }
        }
        assertTrue(loss < first, loss + " and " + first);
        optimizers.forEach(Optimizer::close);
        TestEngines.close(engines);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void theOrderOfTheParametersDoesNotMatter(String name) {
        Parameter[] forwards = parameters(DType.FLOAT32, 5, 2000, 700);
        Parameter[] same = parameters(DType.FLOAT32, 5, 2000, 700);
        Parameter[] backwards = {same[2], same[1], same[0]};
        LBFGS one = lbfgs(TestEngines.named(name), WOLFE, forwards);
        LBFGS other = lbfgs(TestEngines.named(name), WOLFE, backwards);
        for (int step = 0; step < 4; step++) {
            assertEquals(one.step(bowl(forwards)), other.step(bowl(backwards)));
            for (int i = 0; i < 3; i++) {
                Bits.assertSame(forwards[i].value(), same[i].value(), "p" + i);
            }
        }
    }

    // ---- Closures

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aClosureMayZeroGradientsAndLookAtTheState(String name) {
        Parameter p = parameters(DType.FLOAT32, 3)[0];
        LBFGS optimizer = lbfgs(TestEngines.named(name), WOLFE, p);
        List<Double> seen = new ArrayList<>();
        double loss = optimizer.step(() -> {
            seen.add(optimizer.state(p).isEmpty() ? 0 : optimizer.state(p).get("n_iter").get(0));
            optimizer.zeroGrad();
            assertSame(null, p.gradient());
            p.gradient(Tensor.zeros(arena, DType.FLOAT32, 3));
            double evaluated = bowl(p).getAsDouble();
            optimizer.zeroGrad(false);
            assertEquals(0, p.gradient().get(1));
            return bowl(p).getAsDouble() + 0 * evaluated;
        });
        assertEquals(0, seen.getFirst());
        assertTrue(seen.size() > 1 && seen.getLast() >= 1, seen.toString());
        assertTrue(optimizer.step(bowl(p)) < loss);
        assertEquals(2, optimizer.steps());
    }

    @Test
    void aClosureMayNotCallTheRestAndOtherThreadsNothing() {
        Parameter p = parameters(DType.FLOAT32, 1)[0];
        LBFGS optimizer = lbfgs(TestEngines.reference(), FIXED, p);
        optimizer.step(() -> {
            refused(Code.CONCURRENT, "LBFGS.step: a step is running: its closure may evaluate the model, but not call this",
                    () -> optimizer.step(() -> 0));
            refused(Code.CONCURRENT, "LBFGS.step", optimizer::step);
            refused(Code.CONCURRENT, "LBFGS.close", optimizer::close);
            AtomicReference<Throwable> failure = new AtomicReference<>();
            Thread other = new Thread(() -> {
                refused(Code.CONCURRENT, "another thread is using this optimizer", optimizer::zeroGrad);
                refused(Code.CONCURRENT, "another thread is using this optimizer", () -> optimizer.state(p));
                refused(Code.CONCURRENT, "another thread is using this optimizer", optimizer::close);
            });
            other.setUncaughtExceptionHandler((thread, thrown) -> failure.set(thrown));
            other.start();
            try {
                other.join();
            } catch (InterruptedException interrupted) {
                throw new AssertionError(interrupted);
            }
            assertEquals(null, failure.get());
            return bowl(p).getAsDouble();
        });
        optimizer.close();
        refused(Code.CLOSED, "the optimizer is closed", () -> optimizer.step(() -> {
            throw new AssertionError();
        }));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void withoutAClosureThereIsNoStep(String name) {
        Parameter p = parameters(DType.FLOAT32, 1)[0];
        LBFGS optimizer = lbfgs(TestEngines.named(name), FIXED, p);
        refused(Code.INVALID, "LBFGS.step: a step evaluates the model several times: call step(closure)", optimizer::step);
        optimizer.step(bowl(p));
        assertEquals(1, optimizer.steps());
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aClosureThatThrowsAtOnceLeavesEverythingAsItWasAndALaterOneDoesNot(String name) {
        Parameter p = parameters(DType.FLOAT32, 2)[0];
        LBFGS optimizer = lbfgs(TestEngines.named(name), WOLFE, p);
        double before = p.value().get(0);
        assertThrows(ArithmeticException.class, () -> optimizer.step(() -> {
            throw new ArithmeticException();
        }));
        assertEquals(before, p.value().get(0));
        assertEquals(Map.of(), optimizer.state(p));
        int[] evaluations = new int[1];
        assertThrows(ArithmeticException.class, () -> optimizer.step(() -> {
            if (++evaluations[0] == 2) {
                throw new ArithmeticException();
            }
            return bowl(p).getAsDouble();
        }));
        assertTrue(p.value().get(0) != before);
        refused(Code.FAULT, "an earlier step failed half-way", () -> optimizer.step(bowl(p)));
        refused(Code.FAULT, "an earlier step failed half-way", optimizer::zeroGrad);
        optimizer.close();
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void whatCannotBeUsedIsRefusedBeforeAnythingIsWrittenIfItIsThereThen(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameters(DType.FLOAT32, 2)[0];
        double before = p.value().get(0);
        LBFGS optimizer = lbfgs(engine, FIXED, p);
        refused(Code.INVALID, "overlaps the value of 'p0'", () -> optimizer.step(() -> {
            p.gradient(Tensor.of(p.value().segment(), DType.FLOAT32, 2));
            return 1;
        }));
        Arena gone = Arena.ofShared();
        Tensor closed = Tensor.of(gone, new float[] {1, 1});
        gone.close();
        refused(Code.CLOSED, "the gradient of 'p0'", () -> optimizer.step(() -> {
            p.gradient(closed);
            return 1;
        }));
        assertEquals(before, p.value().get(0));
        Tensor fine = Tensor.zeros(arena, DType.FLOAT32, 2);
        optimizer.step(() -> bowl(p.gradient(fine)).getAsDouble());
        int[] evaluations = new int[1];
        refused(Code.FAULT, "after some evaluations of the closure: Table: the gradient of 'p0'", () -> optimizer.step(() -> {
            double loss = bowl(p.gradient(fine)).getAsDouble();
            p.gradient(++evaluations[0] < 3 ? fine : closed);
            return loss;
        }));
        refused(Code.FAULT, "an earlier step failed half-way", () -> optimizer.step(() -> 0));

        Arena over = Arena.ofShared();
        Parameter lost = Parameter.of("lost", Tensor.of(over, new float[] {1, 1})).gradient(fine);
        LBFGS second = lbfgs(engine, FIXED, lost);
        second.step(() -> 1);
        over.close();
        refused(Code.CLOSED, "the value of 'lost' lies in an arena that was closed", () -> second.step(() -> 1));
        refused(Code.CLOSED, "the value of 'lost'", () -> second.step(() -> 1));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aModelThatReturnsNanEndsTheStep(String name) {
        for (LBFGS.Options options : List.of(FIXED, WOLFE)) {
            Parameter p = parameters(DType.FLOAT32, 2)[0];
            LBFGS optimizer = lbfgs(TestEngines.named(name), options, p);
            int[] evaluations = new int[1];
            optimizer.step(() -> {
                double loss = bowl(p).getAsDouble();
                p.gradient().set(0, evaluations[0] == 0 ? 1 : Double.NaN);
                return evaluations[0]++ == 0 ? loss : Double.NaN;
            });
            assertTrue(evaluations[0] > 1 && evaluations[0] <= 1 + 5, evaluations[0] + " evaluations");
        }
    }

    // ---- Parameters

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void tiedParametersAreOneAndEmptyOnesNone(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = parameters(DType.FLOAT32, 4)[0];
        Parameter tied = Parameter.of("tied", Tensor.of(p.value().segment(), DType.FLOAT32, 4));
        Parameter empty = parameters(DType.FLOAT32, 0)[0];
        LBFGS optimizer = lbfgs(engine, FIXED, Parameter.of("empty", empty.value()), p, tied);
        optimizer.step(bowl(p));
        Parameter alone = parameters(DType.FLOAT32, 4)[0];
        LBFGS single = lbfgs(engine, FIXED, alone);
        single.step(bowl(alone));
        Bits.assertSame(alone.value(), p.value(), "tied");
        assertEquals(4, optimizer.state(optimizer.paramGroups().getFirst().params().getFirst()).get("d").elements());
        assertEquals(Map.of(), optimizer.state(p), "the first parameter has it all");
        tied.gradient(Tensor.zeros(arena, DType.FLOAT32, 4));
        refused(Code.INVALID, "'p0' is tied to another parameter", () -> optimizer.step(bowl(p)));

        LBFGS nothing = lbfgs(engine, WOLFE, empty);
        assertEquals(5, nothing.step(() -> 5));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void halfTypesGoTogetherAndFloat64AloneGoes(String name) {
        Engine engine = TestEngines.named(name);
        Parameter half = parameters(DType.BFLOAT16, 3)[0];
        Parameter single = parameters(DType.FLOAT32, 1, 3)[1];
        LBFGS optimizer = lbfgs(engine, WOLFE, half, single);
        double before = optimizer.step(bowl(half, single));
        assertTrue(optimizer.step(bowl(half, single)) < before / 10);
        assertEquals(DType.FLOAT32, optimizer.state(half).get("d").dtype());
        Parameter both = parameters(DType.FLOAT64, 1, 3)[1];
        refused(Code.UNSUPPORTED, "it has parameters of [float32, float64]: float64 goes with no other type",
                () -> lbfgs(engine, WOLFE, single, both));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aSparseGradientIsZeroInTheOtherRows(String name) {
        Engine engine = TestEngines.named(name);
        Tensor indices = Tensor.zeros(arena, DType.INT64, 3);
        Tensor values = Tensor.zeros(arena, DType.FLOAT32, 3, 2);
        Tensor dense = Tensor.zeros(arena, DType.FLOAT32, 4, 2);
        long[] rows = {2, 0, 2};
        List<Parameter> tables = Stream.of("sparse", "dense").map(which -> {
            Tensor value = Tensor.zeros(arena, DType.FLOAT32, 4, 2);
            IntStream.range(0, 8).forEach(i -> value.set(i, i - 2.5));
            return Parameter.of(which, value);
        }).toList();
        DoubleSupplier evaluate = () -> {
            double loss = 0;
            engine.fill(dense, 0, io.panoptim.engine.Stream.DEFAULT);
            Tensor value = tables.get(dense == tables.get(1).gradient() ? 1 : 0).value();
            for (int k = 0; k < 3; k++) {
                indices.set(k, rows[k]);
                for (int c = 0; c < 2; c++) {
                    double x = value.get(2 * rows[k] + c);
                    loss += x * x;
                    values.set(2 * k + c, 2 * x);
                    dense.set(2 * rows[k] + c, dense.get(2 * rows[k] + c) + 2 * x);
                }
            }
            return loss;
        };
        tables.get(0).sparseGradient(new SparseGradient(indices, values));
        tables.get(1).gradient(dense);
        for (LBFGS.Options options : List.of(FIXED.withMaxIter(2), WOLFE)) {
            LBFGS sparse = lbfgs(engine, options, tables.get(0));
            LBFGS other = lbfgs(engine, options, tables.get(1));
            for (int step = 0; step < 2; step++) {
                tables.get(1).gradient(null);
                double loss = sparse.step(evaluate);
                tables.get(1).gradient(dense);
                assertEquals(loss, other.step(evaluate));
                Bits.assertSame(tables.get(1).value(), tables.get(0).value(), "step " + step);
            }
            assertEquals(-0.5, tables.get(0).value().get(2), "a row without a gradient");
        }
    }

    @Test
    void stateIsAllocatedAsItIsNeededAndFreed() {
        Parameter p = parameters(DType.FLOAT32, 10)[0];
        LBFGS optimizer = lbfgs(TestEngines.reference(), FIXED, p);
        assertEquals(40 * (6 + 2 * 4), optimizer.stateBytes());
        assertEquals(Map.of(), optimizer.state(p));
        refused(Code.INVALID, "is not one of this optimizer's", () -> optimizer.state(parameters(DType.FLOAT32, 1)[0]));
        optimizer.step(bowl(p));
        Tensor d = optimizer.state(p).get("d");
        assertArrayEquals(new long[] {10}, d.shape());
        assertEquals(40 * (6 + 2 * 4), optimizer.stateBytes());
        optimizer.close();
        optimizer.close();
        assertFalse(d.segment().scope().isAlive());
        assertTrue(p.value().segment().scope().isAlive());
    }

    // ---- Options

    @Test
    void itsOptionsAreTorchs() {
        LBFGS optimizer = lbfgs(TestEngines.reference(), LBFGS.Options.defaults(), parameters(DType.FLOAT32, 1));
        assertEquals("""
                LBFGS (
                Parameter Group 0
                    history_size: 100
                    line_search_fn: None
                    lr: 1.0
                    max_eval: 25
                    max_iter: 20
                    param_names: ['p0']
                    tolerance_change: 1.0E-9
                    tolerance_grad: 1.0E-7
                )""", optimizer.toString());
        ParamGroup group = optimizer.paramGroups().getFirst();
        assertEquals(OptionalInt.of(25), group.get("max_eval"));
        assertEquals(20, group.get("max_iter"));
        assertEquals(LineSearch.NONE, group.get("line_search_fn"));
        group.set("line_search_fn", "strong_wolfe");
        group.set("max_iter", 7);
        group.set("max_eval", 9L);
        assertEquals(LineSearch.STRONG_WOLFE, group.get("line_search_fn"));
        assertEquals(7, group.get("max_iter"));
        assertEquals(OptionalInt.of(9), group.get("max_eval"));
        group.set("line_search_fn", LineSearch.NONE);
        assertTrue(optimizer.toString().contains("line_search_fn: None"));
        refused(Code.INVALID, "option 'line_search_fn' takes 'strong_wolfe' or none, not armijo", () -> group.set("line_search_fn", "armijo"));
        refused(Code.INVALID, "takes 'strong_wolfe' or none, not none", () -> group.set("line_search_fn", "none"));
        refused(Code.INVALID, "option 'max_iter' takes an integer, not 1.5", () -> group.set("max_iter", 1.5));
        refused(Code.INVALID, "option 'max_iter' takes an integer, not 3000000000", () -> group.set("max_iter", 3_000_000_000L));
        refused(Code.INVALID, "option 'max_eval' takes an integer or none, not true", () -> group.set("max_eval", true));
        refused(Code.INVALID, "Invalid learning rate: -1.0", () -> LBFGS.Options.defaults().withLr(-1));
        refused(Code.INVALID, "Invalid max_iter value: -1", () -> LBFGS.Options.defaults().withMaxIter(-1));
        refused(Code.INVALID, "Invalid max_eval value: -1", () -> LBFGS.Options.defaults().withMaxEval(-1));
        refused(Code.INVALID, "Invalid history_size value: 0", () -> LBFGS.Options.defaults().withHistorySize(0));
        refused(Code.INVALID, "Invalid tolerance_grad value: NaN", () -> LBFGS.Options.defaults().withToleranceGrad(Double.NaN));
        refused(Code.INVALID, "Invalid tolerance_change value: NaN", () -> LBFGS.Options.defaults().withToleranceChange(Double.NaN));
        assertEquals(50, ((OptionalInt) lbfgs(TestEngines.reference(), LBFGS.Options.defaults().withMaxIter(40),
                parameters(DType.FLOAT32, 1)).paramGroups().getFirst().get("max_eval")).getAsInt());
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void optionsCanChangeBetweenSteps(String name) {
        Parameter[] p = parameters(DType.FLOAT64, 6);
        LBFGS optimizer = lbfgs(TestEngines.named(name), FIXED.withMaxIter(5), p);
        StepLR scheduler = new StepLR(optimizer, 1, 0.5);
        ParamGroup group = optimizer.paramGroups().getFirst();
        optimizer.step(bowl(p));
        assertEquals(0.3, optimizer.state(p[0]).get("t").get(0));
        scheduler.step();
        optimizer.step(bowl(p));
        assertEquals(0.15, optimizer.state(p[0]).get("t").get(0));
        assertEquals(3, optimizer.state(p[0]).keySet().stream().filter(key -> key.startsWith("old_dirs")).count());
        group.set("history_size", 1);
        group.set("line_search_fn", LineSearch.STRONG_WOLFE);
        optimizer.step(bowl(p));
        assertEquals(1, optimizer.state(p[0]).keySet().stream().filter(key -> key.startsWith("old_dirs")).count());
        group.set("history_size", 5);
        group.set("max_iter", 9);
        group.set("max_eval", 50);
        group.set("tolerance_change", 1e-16);
        group.lr(1);
        for (int step = 0; step < 4; step++) {
            optimizer.step(bowl(p));
        }
        double[] solution = IntStream.range(0, 6).mapToDouble(p[0].value()::get).toArray();
        assertArrayEquals(Arrays.stream(solution).map(x -> 0.125).toArray(), solution, 1e-6);
    }
}
