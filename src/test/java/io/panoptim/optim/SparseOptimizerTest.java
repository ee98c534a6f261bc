package io.panoptim.optim;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import io.panoptim.tools.OptimizerKind;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.LongStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Which rows a sparse gradient moves, torch's conventions around it, and what is refused before anything is written. */
@Tag("native")
class SparseOptimizerTest {
    private static final SGD.Options PLAIN = SGD.Options.defaults().withLr(1);
    private static final SGD.Options MOMENTUM = PLAIN.withMomentum(0.5);

    private final Arena arena = Arena.ofShared();
    private final List<Optimizer> opened = new ArrayList<>();

    @AfterEach
    void close() {
        opened.forEach(Optimizer::close);
        if (arena.scope().isAlive()) {
            arena.close(); // which a guard left behind would refuse
        }
    }

    private <T extends Optimizer> T opened(T optimizer) {
        opened.add(optimizer);
        return optimizer;
    }

    private SGD sgd(String engine, SGD.Options options, Parameter... parameters) {
        return opened(new SGD(TestEngines.named(engine), List.of(parameters), options));
    }

    private SparseAdam sparseAdam(String engine, Parameter... parameters) {
        return opened(new SparseAdam(TestEngines.named(engine), List.of(parameters), SparseAdam.Options.defaults()));
    }

    /** Ten at each element of each of four rows of two. */
    private Parameter table(String name) {
        Tensor value = Tensor.zeros(arena, DType.FLOAT32, 4, 2);
        LongStream.range(0, 8).forEach(i -> value.set(i, 10));
        return Parameter.of(name, value);
    }

    private Tensor indices(long... rows) {
        return Tensor.of(arena.allocateFrom(ValueLayout.JAVA_LONG, rows), DType.INT64, rows.length);
    }

    /** Both elements of row {@code rows[k]} have the gradient {@code k + 1}. */
    private SparseGradient gradient(long... rows) {
        Tensor values = Tensor.zeros(arena, DType.FLOAT32, rows.length, 2);
        LongStream.range(0, 2L * rows.length).forEach(i -> values.set(i, i / 2 + 1));
        return new SparseGradient(indices(rows), values);
    }

    private static double[] firstColumn(Tensor tensor) {
        return LongStream.range(0, tensor.shape()[0]).mapToDouble(row -> tensor.get(2 * row)).toArray();
    }

    private static void assertColumn(Tensor tensor, double... expected) {
        assertArrayEquals(expected, firstColumn(tensor));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void onlyRowsWithAGradientMove(String engine) {
        Parameter w = table("w").sparseGradient(gradient(2, 0, 2));
        sgd(engine, PLAIN, w).step();
        assertColumn(w.value(), 8, 10, 6, 10);
        Parameter v = table("v").sparseGradient(gradient(3));
        SparseAdam adam = sparseAdam(engine, v);
        adam.step();
        assertEquals(10, v.value().get(5));
        assertTrue(v.value().get(6) < 10);
        assertColumn(adam.state(v).get("exp_avg_sq"), 0, 0, 0, adam.state(v).get("exp_avg_sq").get(6));
        assertTrue(adam.state(v).get("exp_avg_sq").get(6) > 0);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void momentumMovesEveryRowThatHasHadAGradient(String engine) {
        Parameter w = table("w").sparseGradient(gradient(1, 1));
        w.value().set(0, -0.0);
        SGD optimizer = sgd(engine, MOMENTUM, w);
        optimizer.step();
        assertColumn(w.value(), -0.0, 7, 10, 10);
        w.sparseGradient(gradient(3));
        optimizer.step();
        assertColumn(w.value(), -0.0, 5.5, 10, 9);
        w.sparseGradient(gradient());
        optimizer.step();
        assertColumn(w.value(), -0.0, 4.75, 10, 8.5);
        assertColumn(optimizer.state(w).get("momentum_buffer"), 0, 0.75, 0, 0.5);
        assertEquals(4 * 2 * 4 + 8, optimizer.stateBytes());
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void anEmptyGradientIsAStepAndNoGradientIsNone(String engine) {
        Parameter w = table("w").sparseGradient(gradient());
        SparseAdam optimizer = sparseAdam(engine, w);
        optimizer.step();
        w.sparseGradient(null);
        optimizer.step();
        assertEquals(DType.INT64, optimizer.state(w).get("step").dtype());
        assertEquals(1, optimizer.state(w).get("step").get(0));
        assertColumn(w.value(), 10, 10, 10, 10);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aParameterMayChangeBetweenDenseAndSparseGradients(String engine) {
        Parameter w = table("w").sparseGradient(gradient(1));
        Parameter other = table("other");
        Tensor dense = Tensor.zeros(arena, DType.FLOAT32, 4, 2);
        LongStream.range(0, 8).forEach(i -> dense.set(i, 1));
        other.gradient(dense);
        SGD optimizer = sgd(engine, PLAIN, w, other);
        optimizer.step();
        assertColumn(w.value(), 10, 9, 10, 10);
        assertColumn(other.value(), 9, 9, 9, 9);
        w.gradient(Tensor.of(dense.segment(), DType.FLOAT32, 4, 2));
        other.sparseGradient(gradient(0));
        optimizer.step();
        assertColumn(w.value(), 9, 8, 9, 9);
        assertColumn(other.value(), 8, 9, 9, 9);
        w.sparseGradient(gradient(3));
        other.gradient(null);
        optimizer.step();
        assertColumn(w.value(), 9, 8, 9, 8);
        assertColumn(other.value(), 8, 9, 9, 9);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void stepsAreCountedForEachParameter(String engine) {
        Parameter always = table("always");
        Parameter late = table("late");
        SparseAdam optimizer = sparseAdam(engine, always, late);
        for (int step = 0; step < 5; step++) {
            always.sparseGradient(gradient(step % 4));
            late.sparseGradient(step < 3 ? null : gradient(0));
            optimizer.step();
        }
        assertEquals(5, optimizer.state(always).get("step").get(0));
        assertEquals(2, optimizer.state(late).get("step").get(0));
    }

    /** torch's own numbers: see {@code torch.optim.SGD} with a dense step before a sparse one. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aSparseGradientGoesWithTheMomentumOfDenseOnes(String engine) {
        Parameter w = table("w");
        Tensor dense = Tensor.zeros(arena, DType.FLOAT32, 4, 2);
        LongStream.range(0, 8).forEach(i -> dense.set(i, 1));
        SGD optimizer = sgd(engine, MOMENTUM, w.gradient(dense));
        optimizer.step();
        w.sparseGradient(gradient(1));
        optimizer.step();
        assertColumn(w.value(), 8.5, 7.5, 8.5, 8.5);
        assertColumn(optimizer.state(w).get("momentum_buffer"), 0.5, 1.5, 0.5, 0.5);
        w.gradient(dense);
        optimizer.step();
        assertColumn(optimizer.state(w).get("momentum_buffer"), 1.25, 1.75, 1.25, 1.25);
        optimizer.paramGroups().getFirst().set("nesterov", true);
        w.sparseGradient(gradient(1));
        refused(Code.INVALID, "with Nesterov a sparse gradient does not go with the momentum of dense ones: add(sparse, dense) is not "
                + "supported. Use add(dense, sparse) instead.", optimizer::step);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void theMomentumOfSparseGradientsTakesNoDenseOne(String engine) {
        Parameter w = table("w").sparseGradient(gradient(1));
        SGD optimizer = sgd(engine, MOMENTUM, w);
        optimizer.step();
        w.gradient(Tensor.zeros(arena, DType.FLOAT32, 4, 2));
        refused(Code.INVALID, "a dense gradient does not go with the momentum of sparse ones: add(sparse, dense) is not supported. "
                + "Use add(dense, sparse) instead.", optimizer::step);
        w.sparseGradient(gradient(1));
        optimizer.step();
        assertColumn(w.value(), 10, 7.5, 10, 10);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void zeroGradTakesSparseGradientsAwayOrTheirRows(String engine) {
        Parameter w = table("w").sparseGradient(gradient(1));
        SparseAdam optimizer = sparseAdam(engine, w);
        optimizer.zeroGrad(false);
        assertEquals(0, w.sparseGradient().count());
        optimizer.step();
        assertEquals(1, optimizer.state(w).get("step").get(0));
        optimizer.zeroGrad();
        assertEquals(null, w.sparseGradient());
    }

    @Test
    void theOthersRefuseSparseGradientsInTorchsWords() {
        Set<String> sparse = Set.of("SGD", "Adagrad", "SparseAdam", "LBFGS");
        List<String> dense = StreamSupport.stream(new OptimizerKind.Names().spliterator(), false)
                .filter(name -> !sparse.contains(name)).toList();
        assertFalse(dense.isEmpty());
        for (String name : dense) {
            Parameter w = table("w").sparseGradient(gradient(1));
            OptimizerKind<?, ?> kind = OptimizerKind.named(name, message -> PanoptimException.invalid("test", message));
            Optimizer optimizer = opened(kind.create(TestEngines.reference(), List.of(w), Map.of()));
            optimizer.train();
            String words = switch (name) {
                case "Adam", "AdamW" -> "Adam does not support sparse gradients, please consider SparseAdam instead";
                case "Ranger" -> "slow weights follow whole tensors: give it to an optimizer of its own";
                default -> name + " does not support sparse gradients";
            };
            PanoptimException refusal = assertThrows(PanoptimException.class, optimizer::step);
            assertTrue(refusal.getMessage().endsWith(words), refusal.getMessage());
            assertEquals(Code.UNSUPPORTED, refusal.code());
            assertColumn(w.value(), 10, 10, 10, 10);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void whatTorchRefusesIsRefusedInItsWords(String name) {
        Engine engine = TestEngines.named(name);
        Parameter w = table("w").sparseGradient(gradient(1));
        Adagrad adagrad = opened(new Adagrad(engine, List.of(w), Adagrad.Options.defaults().withWeightDecay(0.1)));
        refused(Code.INVALID, "Adagrad: weight_decay option is not compatible with sparse gradients", adagrad::step);
        SGD sgd = sgd(name, PLAIN.withWeightDecay(0.1), w);
        refused(Code.INVALID, "SGD: weight_decay does not go with sparse gradients: add(sparse, dense) is not supported. Use add(dense, "
                + "sparse) instead.", sgd::step);
        sgd.paramGroups().getFirst().set("weight_decay", 0);
        sgd.step();
        assertColumn(w.value(), 10, 9, 10, 10);
        sgd.paramGroups().getFirst().set("weight_decay", 0.1);
        refused(Code.INVALID, "weight_decay does not go", sgd::step);
        sgd.paramGroups().getFirst().set("weight_decay", 0);
        sgd.paramGroups().getFirst().independentWeightDecay(0.1);
        refused(Code.INVALID, "SGD: independent_weight_decay does not go with sparse gradients", sgd::step);
        SparseAdam sparseAdam = sparseAdam(name, w.gradient(Tensor.zeros(arena, DType.FLOAT32, 4, 2)));
        refused(Code.UNSUPPORTED, "SparseAdam does not support dense gradients, please consider Adam instead", sparseAdam::step);
        assertColumn(w.value(), 10, 9, 10, 10);
        assertEquals(Map.of(), sparseAdam.state(w));
        refused(Code.INVALID, "SparseAdam: Invalid learning rate: 0.0", () -> SparseAdam.Options.defaults().withLr(0));
        refused(Code.INVALID, "SparseAdam: Invalid epsilon value: 0.0", () -> SparseAdam.Options.defaults().withEps(0));
        refused(Code.INVALID, "Invalid beta parameter at index 1: 1.0", () -> SparseAdam.Options.defaults().withBetas(0.9, 1));
    }

    /** A schedule may set a learning rate that the constructor refuses; the other options stay free. */
    @Test
    void anOptionCanBeChangedWhileTheLearningRateIsZero() {
        SparseAdam optimizer = sparseAdam("reference", table("w"));
        ParamGroup group = optimizer.paramGroups().getFirst();
        group.lr(0);
        group.set("eps", 1e-3);
        assertEquals(1e-3, group.get("eps"));
        assertEquals(0, group.lr());
        refused(Code.INVALID, "Invalid epsilon value: 0.0", () -> group.set("eps", 0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void anIndexThatIsNoRowIsRefusedBeforeAnythingIsWritten(String engine) {
        Parameter dense = table("dense").gradient(Tensor.zeros(arena, DType.FLOAT32, 4, 2));
        dense.gradient().set(0, 1);
        Parameter good = table("good").sparseGradient(gradient(1));
        Parameter bad = table("bad").sparseGradient(gradient(0, 4));
        SGD optimizer = sgd(engine, MOMENTUM, dense, good, bad);
        refused(Code.INVALID, "Engine.stepRows 'bad': size is inconsistent with indices: for dim 0, size is 4 but found index 4",
                optimizer::step);
        bad.sparseGradient(gradient(-1));
        refused(Code.INVALID, "Engine.stepRows 'bad': found negative index -1 for dim 0", optimizer::step);
        dense.gradient(null);
        refused(Code.INVALID, "found negative index", optimizer::step);
        for (Parameter parameter : List.of(dense, good, bad)) {
            assertColumn(parameter.value(), 10, 10, 10, 10);
            assertEquals(Map.of(), optimizer.state(parameter));
        }
        bad.sparseGradient(gradient(3));
        optimizer.step();
        assertColumn(good.value(), 10, 9, 10, 10);
        assertColumn(bad.value(), 10, 10, 10, 9);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void memoryThatCannotBeUsedIsRefusedByName(String engine) throws InterruptedException {
        Parameter w = table("w");
        SGD optimizer = sgd(engine, PLAIN, w);
        try (Arena other = Arena.ofShared()) {
            w.sparseGradient(new SparseGradient(Tensor.of(other.allocateFrom(ValueLayout.JAVA_LONG, 1), DType.INT64, 1),
                    gradient(1).values()));
            optimizer.step();
            assertColumn(w.value(), 10, 9, 10, 10);
        }
        refused(Code.CLOSED, "the sparse gradient of 'w' (its indices) lies in an arena that was closed", optimizer::step);
        try (Arena confined = Arena.ofConfined()) {
            w.sparseGradient(new SparseGradient(indices(1), Tensor.zeros(confined, DType.FLOAT32, 1, 2)));
            Thread thread = new Thread(() -> refused(Code.CONCURRENT, "the sparse gradient of 'w' (its values) is confined to another "
                    + "thread", optimizer::step));
            List<Throwable> failures = new ArrayList<>();
            thread.setUncaughtExceptionHandler((failed, failure) -> failures.add(failure));
            thread.start();
            thread.join();
            assertEquals(List.of(), failures);
        }
        w.sparseGradient(new SparseGradient(indices(1), w.value().firstRows(1)));
        refused(Code.INVALID, "the sparse gradient of 'w' (its values) overlaps the value of 'w'", optimizer::step);
        w.sparseGradient(new SparseGradient(Tensor.of(w.value().segment(), DType.INT64, 4), Tensor.zeros(arena, DType.FLOAT32, 4, 2)));
        refused(Code.INVALID, "(its indices) overlaps the value of 'w'", optimizer::step);
        assertColumn(w.value(), 10, 9, 10, 10);
    }

    @Test
    void memoryThatOnlyTheReferenceEngineReachesIsRefusedByTheOther() {
        SparseGradient heap = new SparseGradient(indices(1), Tensor.of(MemorySegment.ofArray(new float[] {1, 1}), DType.FLOAT32, 1, 2));
        Parameter w = table("w").sparseGradient(heap);
        sgd("reference", PLAIN, w).step();
        assertColumn(w.value(), 10, 9, 10, 10);
        SGD optimizer = sgd("cpu", PLAIN, w);
        refused(Code.INVALID, "the sparse gradient of 'w' (its values) lies on the Java heap", optimizer::step);
        Tensor odd = Tensor.of(arena.allocate(32).asSlice(4), DType.INT64, 1);
        w.sparseGradient(new SparseGradient(odd, Tensor.zeros(arena, DType.FLOAT32, 1, 2)));
        refused(Code.INVALID, "(its indices) begins at an address that is not a multiple of its element size, 8", optimizer::step);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void gradientsMayShareIndicesAndBeReadOnly(String engine) {
        Tensor indices = Tensor.of(indices(3, 1).segment().asReadOnly(), DType.INT64, 2);
        Tensor values = Tensor.of(gradient(0, 0).values().segment().asReadOnly(), DType.FLOAT32, 2, 2);
        Parameter w = table("w").sparseGradient(new SparseGradient(indices, values));
        Parameter v = table("v").sparseGradient(new SparseGradient(indices, gradient(0, 0).values()));
        sgd(engine, PLAIN, w, v).step();
        assertColumn(w.value(), 10, 8, 10, 9);
        assertColumn(v.value(), 10, 8, 10, 9);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void tiedParametersShareTheirGradient(String engine) {
        Parameter w = table("w");
        Parameter tied = Parameter.of("tied", w.value());
        SGD optimizer = sgd(engine, PLAIN, w, tied);
        SparseGradient gradient = gradient(2);
        tied.sparseGradient(gradient);
        optimizer.step();
        w.sparseGradient(gradient);
        optimizer.step();
        assertColumn(w.value(), 10, 10, 8, 10);
        w.sparseGradient(gradient(2));
        refused(Code.INVALID, "'w' is tied to another parameter, but their gradients lie in different places", optimizer::step);
        w.gradient(Tensor.zeros(arena, DType.FLOAT32, 4, 2));
        refused(Code.INVALID, "gradients lie in different places", optimizer::step);
        assertColumn(w.value(), 10, 10, 8, 10);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void anyNumberOfArenasIsGuarded(String engine) {
        List<Arena> arenas = new ArrayList<>();
        List<Parameter> parameters = new ArrayList<>();
        for (int i = 0; i < 30; i++) {
            Arena own = Arena.ofShared();
            arenas.add(own);
            parameters.add(Parameter.of("p" + i, Tensor.zeros(own, DType.FLOAT32, 4, 2)).sparseGradient(gradient(i % 4)));
        }
        SGD optimizer = sgd(engine, PLAIN, parameters.toArray(Parameter[]::new));
        optimizer.step();
        for (int i = 0; i < 30; i++) {
            assertEquals(-1, parameters.get(i).value().get(i % 4 * 2));
        }
        parameters.get(29).sparseGradient(gradient(4));
        refused(Code.INVALID, "'p29'", optimizer::step);
        assertEquals(-1, parameters.getFirst().value().get(0), "nothing was written");
        arenas.get(29).close();
        refused(Code.CLOSED, "the value of 'p29' lies in an arena that was closed", optimizer::step);
        parameters.get(29).gradient(null);
        optimizer.step();
        assertEquals(-2, parameters.getFirst().value().get(0));
        arenas.subList(0, 29).forEach(Arena::close);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void rowsBeyondTwoToTheThirtyFirstAreReached(String engine, @TempDir Path folder) throws IOException {
        long rows = (1L << 31) + 8;
        try (Arena mapped = Arena.ofShared();
             FileChannel file = FileChannel.open(folder.resolve("sparse"), StandardOpenOption.CREATE, StandardOpenOption.READ,
                     StandardOpenOption.WRITE)) {
            Tensor value = Tensor.of(file.map(MapMode.READ_WRITE, 0, rows * 8, mapped), DType.FLOAT32, rows, 2); // a file of holes
            Parameter w = Parameter.of("w", value).sparseGradient(gradient(rows - 1, 3, 1L << 31, 3));
            try (SGD optimizer = new SGD(TestEngines.named(engine), List.of(w), PLAIN)) {
                optimizer.step();
                assertEquals(-1, value.get(2 * rows - 1));
                assertEquals(-6, value.get(7));
                assertEquals(-3, value.get(1L << 32));
                assertEquals(0, value.get((1L << 32) + 2));
                w.sparseGradient(gradient(rows));
                refused(Code.INVALID, "size is " + rows + " but found index " + rows, optimizer::step);
            }
        }
    }

    @Test
    void stateIsToldBeforeItIsAllocated() {
        MemorySegment memory = MemorySegment.ofAddress(1 << 20).reinterpret(1L << 44); // never touched
        Parameter w = Parameter.of("w", Tensor.of(memory, DType.FLOAT32, 1L << 34, 256));
        assertEquals(1L << 45, sparseAdam("reference", w).stateBytes());
    }
}
