package io.panoptim.engine.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Column;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Graph;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.engine.cuda.CudaException.Problem;
import io.panoptim.optim.Adam;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.FusedOptimizer;
import io.panoptim.optim.SGD;
import io.panoptim.optim.norm.NovoGrad;
import io.panoptim.optim.norm.Prodigy;
import io.panoptim.schedule.ExponentialLR;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.BiFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What the CUDA engine does besides arithmetic, on a GPU or on the stand-in for a driver: device memory, streams, graphs, and what it
 * refuses. Without either these tests are skipped, with the reason.
 */
class CudaEngineTest {
    private final Random random = new Random(5);
    private final Arena arena = Arena.ofShared();
    private CudaEngine engine;
    private Memory memory;

    @BeforeEach
    void open() {
        engine = TestEngines.cuda();
        memory = engine.memory();
    }

    @AfterEach
    void close() {
        if (memory != null) { // else there is no engine, and the test was skipped
            memory.close();
        }
        arena.close();
    }

    /** The stand-in, or the test is skipped: a real driver does not fail on order. */
    private static CudaShim shim() {
        assumeTrue(TestEngines.isCudaSlow(), "the tests run on a GPU");
        return CudaShim.shared();
    }

    private Tensor host(DType dtype, long... shape) {
        Tensor tensor = Tensor.zeros(arena, dtype, shape);
        for (long i = 0; i < tensor.elements(); i++) {
            tensor.set(i, random.nextGaussian());
        }
        return tensor;
    }

    private Tensor there(Tensor host) {
        Tensor there = memory.zerosLike(host);
        engine.copy(host, there, Stream.DEFAULT);
        return there;
    }

    private Tensor back(Tensor there) {
        Tensor back = Tensor.zeros(arena, there.dtype(), there.shape());
        engine.copy(there, back, Stream.DEFAULT);
        return back;
    }

    private static CudaException refused(Problem problem, Code code, String words, Executable call) {
        CudaException refusal = assertThrows(CudaException.class, call);
        assertTrue(refusal.getMessage().contains(words), () -> "'" + words + "' is not in: " + refusal.getMessage());
        assertEquals(problem, refusal.problem());
        assertEquals(code, refusal.code());
        return refusal;
    }

    private static void invalid(Code code, String words, Executable call) {
        PanoptimException refusal = assertThrows(PanoptimException.class, call);
        assertTrue(refusal.getMessage().contains(words), () -> "'" + words + "' is not in: " + refusal.getMessage());
        assertEquals(code, refusal.code());
    }

    // ---- Memory

    @ParameterizedTest
    @EnumSource(DType.class)
    void copiesAndFillsHaveTheCpusBits(DType dtype) {
        for (long size : new long[] {0, 1, 7, 1000}) {
            Tensor host = host(dtype, size);
            Bits.assertSame(host, back(there(host)), "there and back");
            for (double value : new double[] {0, -0.0, 1 / 3.0, -1, Double.NaN, 65504}) {
                Tensor filled = there(host);
                engine.fill(filled, value, Stream.DEFAULT);
                TestEngines.reference().fill(host, value, Stream.DEFAULT);
                Bits.assertSame(host, back(filled), "filled with " + value);
            }
        }
    }

    @Test
    void slicesAndOtherLayoutsAreCopied() {
        Tensor host = host(DType.FLOAT32, 40);
        Tensor there = there(host);
        Bits.assertSame(host.slice(3, 5, 4), back(there.slice(3, 5, 4)), "a slice");
        Tensor transposed = Tensor.of(host.segment(), DType.FLOAT32, new long[] {4, 10}, new long[] {1, 4});
        Tensor same = there(transposed);
        assertTrue(same.sameLayout(transposed));
        Tensor again = Tensor.of(arena.allocate(160), DType.FLOAT32, new long[] {4, 10}, new long[] {1, 4});
        engine.copy(same, again, Stream.DEFAULT);
        Bits.assertSame(transposed, again, "transposed");
        invalid(Code.INVALID, "type, shape and layout must be equal", () -> engine.copy(same, host, Stream.DEFAULT));
        Tensor onDevice = memory.zerosLike(there);
        engine.copy(there, onDevice, Stream.DEFAULT);
        Bits.assertSame(host, back(onDevice), "within the device");
    }

    @Test
    void heapAndPageLockedMemoryAreCopiedToo() {
        Tensor heap = Tensor.of(MemorySegment.ofArray(new float[] {1, 2, 3}), DType.FLOAT32, 3);
        Tensor there = there(heap);
        Tensor other = Tensor.of(MemorySegment.ofArray(new float[3]), DType.FLOAT32, 3);
        engine.copy(there, other, Stream.DEFAULT);
        Bits.assertSame(heap, other, "heap");
        Memory pinned = engine.pinned();
        assertEquals(Device.cpu(), pinned.device());
        Tensor locked = pinned.zeros(DType.FLOAT32, 3);
        assertEquals(0, locked.get(2));
        try (CudaStream stream = engine.newStream()) {
            engine.copy(there, locked, stream.stream());
            stream.synchronize();
        }
        Bits.assertSame(heap, locked, "page-locked");
        assertEquals(12, pinned.bytes());
        pinned.close();
        pinned.close();
        invalid(Code.CLOSED, "the memory is closed", () -> pinned.zeros(DType.FLOAT32, 1));
    }

    @Test
    void tensorsLikeOthersBeginAtTheSamePlaceInALine() {
        for (int offset = 0; offset < 128; offset += 4) {
            Tensor host = Tensor.of(arena.allocate(512, 128).asSlice(offset, 100), DType.FLOAT32, 25);
            assertEquals(host.address() % 128, memory.zerosLike(host).address() % 128);
            Tensor like = memory.zerosLike(host);
            assertEquals(0, back(like).get(24));
        }
        assertEquals(2 * 32 * 100, memory.bytes());
    }

    @Test
    void whatIsAllocatedIsCountedUntilItIsFreed() {
        long before = engine.allocatedBytes();
        Memory own = engine.memory();
        own.zeros(DType.FLOAT64, 1 << 17);
        assertTrue(engine.allocatedBytes() - before >= 1 << 20);
        assertTrue(engine.peakBytes() >= engine.allocatedBytes());
        assertTrue(engine.memoryReport().contains("bytes of tensors on cuda:0 were not freed"), engine.memoryReport());
        own.close();
        own.close();
        assertEquals(before, engine.allocatedBytes());
        invalid(Code.CLOSED, "the memory is closed", () -> own.zeros(DType.FLOAT32, 1));
    }

    @Test
    void aTracedAllocationNamesItsPlace() {
        Allocations traced = new Allocations("cuda:0", true);
        traced.add("tensors", 256, 100);
        traced.add("tables", 512, 50);
        traced.remove(512);
        assertEquals(100, traced.bytes());
        assertEquals(150, traced.peak());
        assertEquals(1, traced.count());
        assertTrue(traced.report().startsWith("panoptim: 100 bytes of tensors on cuda:0 were not freed, allocated\n    at "), traced.report());
        assertTrue(traced.report().contains("CudaEngineTest.aTracedAllocationNamesItsPlace"), traced.report());
        traced.remove(256);
        assertEquals("", traced.report());
    }

    @Test
    void closedMemoryIsRefused() {
        Memory own = engine.memory();
        Tensor value = there(host(DType.FLOAT32, 10));
        Tensor gradient = own.zeros(DType.FLOAT32, 10);
        try (SGD optimizer = new SGD(engine, List.of(Parameter.of("p", value).gradient(gradient)), SGD.Options.defaults())) {
            optimizer.step();
            own.close();
            invalid(Code.CLOSED, "the gradient of 'p' lies in memory that was closed", optimizer::step);
            invalid(Code.CLOSED, "the source lies in memory that was closed", () -> back(gradient));
        }
    }

    // ---- Addresses

    @Test
    void foreignAddressesAreUsedWhereTheyLie() {
        Tensor host = host(DType.FLOAT32, 100);
        Tensor own = there(host);
        Tensor foreign = Tensor.ofAddress(own.address(), own, Device.cuda(0), DType.FLOAT32, 100);
        Tensor gradient = there(host);
        try (SGD optimizer = new SGD(engine, List.of(Parameter.of("p", foreign).gradient(gradient)), SGD.Options.defaults().withLr(1))) {
            optimizer.step();
        }
        assertEquals(0, back(own).get(99));
    }

    @Test
    void anAddressOfTheCpuIsRefusedBeforeAnythingIsWritten() {
        Tensor host = host(DType.FLOAT32, 100);
        Tensor wrong = Tensor.ofAddress(host.address(), host, Device.cuda(0), DType.FLOAT32, 100);
        Tensor right = there(host);
        refused(Problem.HOST_POINTER, Code.INVALID, "the value of 'p' is said to be on cuda:0, but 0x", () -> engine.table(Rule.SGD,
                List.of(new TensorEntry("p", wrong, right, List.of(), 0))));
        try (Table table = engine.table(Rule.SGD, List.of(new TensorEntry("p", right, there(host), List.of(), 0)))) {
            refused(Problem.HOST_POINTER, Code.INVALID, "the gradient of 'p'", () -> table.point(Column.GRADIENT, Map.of(0, wrong)));
        }
        refused(Problem.HOST_POINTER, Code.INVALID, "the target", () -> engine.copy(host, wrong, Stream.DEFAULT));
        refused(Problem.HOST_POINTER, Code.INVALID, "the tensor", () -> engine.fill(wrong, 1, Stream.DEFAULT));
        invalid(Code.INVALID, "from cpu to cpu", () -> engine.copy(host, host(DType.FLOAT32, 100), Stream.DEFAULT));
        invalid(Code.INVALID, "lies on cpu, but the cuda engine works on cuda:0", () -> engine.table(Rule.SGD,
                List.of(new TensorEntry("p", host, null, List.of(), 0))));
    }

    // ---- Steps

    /** An optimizer on the reference engine, and the same on the device. */
    private final class Twins implements AutoCloseable {
        final List<Parameter> here = new ArrayList<>();
        final List<Parameter> there = new ArrayList<>();
        final FusedOptimizer<?> reference;
        final FusedOptimizer<?> cuda;

        Twins(BiFunction<Engine, List<Parameter>, FusedOptimizer<?>> make, int count, DType... dtypes) {
            for (int i = 0; i < count; i++) {
                DType dtype = dtypes[i % dtypes.length];
                Tensor value = host(dtype, 11 + 7 * i);
                here.add(Parameter.of("p" + i, value));
                there.add(Parameter.of("p" + i, there(value)));
            }
            reference = make.apply(TestEngines.reference(), here);
            cuda = make.apply(engine, there);
        }

        /** New gradients, for those that are to have one, where the last ones lay. */
        void gradients(int present) {
            for (int i = 0; i < here.size(); i++) {
                Tensor gradient = (present >> i & 1) == 0 ? null : host(here.get(i).value().dtype(), here.get(i).value().shape());
                here.get(i).gradient(gradient);
                Tensor before = there.get(i).gradient();
                if (gradient != null && before != null) {
                    engine.copy(gradient, before, Stream.DEFAULT);
                } else {
                    there.get(i).gradient(gradient == null ? null : there(gradient));
                }
            }
        }

        void step(int present) {
            gradients(present);
            reference.step();
            cuda.step();
        }

        void compare(String when) {
            engine.synchronize(cuda.stream());
            for (int i = 0; i < here.size(); i++) {
                Bits.assertSame(here.get(i).value(), back(there.get(i).value()), when);
            }
        }

        @Override
        public void close() {
            reference.close();
            cuda.close();
        }
    }

    private static FusedOptimizer<?> adam(Engine engine, List<Parameter> parameters) {
        return new Adam(engine, parameters, Adam.Options.defaults());
    }

    private static FusedOptimizer<?> prodigy(Engine engine, List<Parameter> parameters) {
        return new Prodigy(engine, parameters, Prodigy.Options.defaults());
    }

    private static FusedOptimizer<?> novograd(Engine engine, List<Parameter> parameters) {
        return new NovoGrad(engine, parameters, NovoGrad.Options.defaults());
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void gradientsComeAndGo(boolean sums) {
        try (Twins twins = new Twins(sums ? CudaEngineTest::novograd : CudaEngineTest::adam, 5, DType.FLOAT32, DType.FLOAT64,
                DType.BFLOAT16)) {
            for (int step = 0; step < 20; step++) {
                twins.step(step % 7 == 0 ? 31 : random.nextInt(1, 32));
                twins.compare("step " + step);
            }
        }
    }

    /** With one history each: more rows than a kernel's argument has room for, and then fewer. */
    @ParameterizedTest
    @CsvSource({"20, false", "40, false", "40, true", "70, false"})
    void anyNumberOfRows(int groups, boolean wide) {
        BiFunction<Engine, List<Parameter>, FusedOptimizer<?>> make = (on, parameters) -> {
            AdamW optimizer = new AdamW(on, parameters.subList(0, 1), AdamW.Options.defaults());
            for (int i = 1; i < parameters.size(); i++) {
                optimizer.addParamGroup(parameters.subList(i, i + 1), AdamW.Options.defaults().withLr(1e-3 * i));
            }
            return optimizer;
        };
        try (Twins twins = new Twins(make, groups, wide ? new DType[] {DType.FLOAT32, DType.FLOAT64} : new DType[] {DType.FLOAT32})) {
            for (int step = 0; step < 12; step++) {
                twins.step(-1);
            }
            twins.compare("after 12 steps");
        }
    }

    /** On the stand-in nothing runs before something waits for it: a step that did not wait has launched nothing yet. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void stepsDoNotWaitForTheDevice(boolean sums) {
        try (CudaShim shim = shim(); CudaStream stream = engine.newStream();
             Twins twins = new Twins(sums ? CudaEngineTest::novograd : CudaEngineTest::adam, 3, DType.FLOAT32)) {
            twins.step(7);
            engine.synchronize(Stream.DEFAULT);
            twins.cuda.stream(stream.stream());
            shim.set("lazy", 1);
            try {
                long before = shim.count("launches");
                for (int step = 0; step < 20; step++) {
                    twins.reference.step();
                    twins.cuda.step();
                    assertEquals(before, shim.count("launches"), "step " + step);
                }
                stream.synchronize();
                assertEquals(before + 20 * (sums ? 3 : 1), shim.count("launches"));
            } finally {
                shim.reset();
            }
            twins.compare("after 21 steps");
        }
    }

    /** What a state dictionary has is read after the steps that were given to the optimizer's stream. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void statesAreCopiedInTheOrderOfTheStream(boolean global) {
        BiFunction<Engine, List<Parameter>, FusedOptimizer<?>> make = global ? CudaEngineTest::prodigy : CudaEngineTest::adam;
        try (CudaShim shim = shim(); CudaStream stream = engine.newStream(); Twins twins = new Twins(make, 3, DType.FLOAT32);
             FusedOptimizer<?> other = make.apply(engine, twins.there)) {
            twins.step(7);
            engine.synchronize(Stream.DEFAULT);
            twins.cuda.stream(stream.stream());
            other.stream(stream.stream());
            shim.set("lazy", 1);
            try {
                for (int step = 0; step < 3; step++) {
                    twins.reference.step();
                    twins.cuda.step();
                }
                other.loadStateDict(twins.cuda.stateDict());
                stream.synchronize();
            } finally {
                shim.reset();
            }
            twins.reference.step();
            other.step();
            twins.compare("after 5 steps, the last by the other optimizer");
        }
    }

    @Test
    void memoryIsFreedOnceTheStepsThatUseItAreDone() {
        try (CudaShim shim = shim(); CudaStream stream = engine.newStream(); Twins twins = new Twins(CudaEngineTest::adam, 3, DType.FLOAT32)) {
            twins.step(7);
            engine.synchronize(Stream.DEFAULT);
            twins.cuda.stream(stream.stream());
            twins.gradients(7);
            shim.set("lazy", 1);
            try {
                twins.reference.step();
                twins.cuda.step();
                twins.cuda.close();
                stream.synchronize();
            } finally {
                shim.reset();
            }
            twins.compare("closed with a step under way");
        }
    }

    /** The CPU overwrites nothing that the device has yet to read: more changes at once than the ring has places. */
    @Test
    void changesOfTheTableAreKeptUntilTheyAreCopied() {
        try (CudaShim shim = shim(); CudaStream stream = engine.newStream(); Twins twins = new Twins(CudaEngineTest::adam, 6, DType.FLOAT32)) {
            twins.step(63);
            engine.synchronize(Stream.DEFAULT);
            twins.cuda.stream(stream.stream());
            List<List<Tensor>> gradients = IntStream.range(0, 30).mapToObj(step -> twins.here.stream()
                    .map(parameter -> host(DType.FLOAT32, parameter.value().shape())).toList()).toList();
            List<List<Tensor>> copies = gradients.stream().map(step -> step.stream().map(this::there).toList()).toList();
            shim.set("lazy", 1);
            try {
                for (int step = 0; step < 30; step++) {
                    for (int i = 0; i < 6; i++) {
                        boolean present = (step * 7 + i) % 3 != 0;
                        twins.here.get(i).gradient(present ? gradients.get(step).get(i) : null);
                        twins.there.get(i).gradient(present ? copies.get(step).get(i) : null);
                    }
                    twins.reference.step();
                    twins.cuda.step();
                }
                stream.synchronize();
            } finally {
                shim.reset();
            }
            twins.compare("after 31 steps");
        }
    }

    @Test
    void reductionsAreReadLater() {
        Tensor host = host(DType.FLOAT32, 5000);
        List<TensorEntry> here = List.of(new TensorEntry("w", host, null, List.of(), 0));
        List<TensorEntry> there = List.of(new TensorEntry("w", there(host), null, List.of(), 0));
        try (Table expected = TestEngines.reference().table(here); Table table = engine.table(there); CudaStream stream = engine.newStream()) {
            List<Reduction.Result> results = new ArrayList<>();
            List<Double> values = new ArrayList<>();
            for (int i = 0; i < 100; i++) {
                MapOperation halve = MapOperation.scale(Column.VALUE, 0.9);
                TestEngines.reference().map(expected, halve, Stream.DEFAULT);
                engine.map(table, halve, stream.stream());
                Reduction norm = Reduction.norm(Column.VALUE, i % 2 == 0 ? 2 : Double.POSITIVE_INFINITY);
                values.add(TestEngines.reference().reduce(expected, norm, Stream.DEFAULT).get());
                results.add(engine.reduce(table, norm, stream.stream()));
            }
            assertEquals(values, results.stream().map(Reduction.Result::get).toList());
            assertEquals(values, results.stream().map(Reduction.Result::get).toList(), "again");
        }
    }

    // ---- Graphs

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aReplayFollowsWhateverSchedulersChange(boolean sums) {
        try (CudaStream stream = engine.newStream();
             Twins twins = new Twins(sums ? CudaEngineTest::novograd : CudaEngineTest::adam, 4, DType.FLOAT32, DType.FLOAT64)) {
            ExponentialLR here = new ExponentialLR(twins.reference, 0.9);
            ExponentialLR there = new ExponentialLR(twins.cuda, 0.9);
            twins.step(15);
            engine.synchronize(Stream.DEFAULT);
            twins.cuda.stream(stream.stream());
            twins.cuda.captureStep();
            twins.compare("a capture takes no step");
            for (int step = 0; step < 30; step++) {
                twins.step(15);
                here.step();
                there.step();
                double decay = 0.01 * step;
                twins.reference.paramGroups().getFirst().set("weight_decay", decay);
                twins.cuda.paramGroups().getFirst().set("weight_decay", decay);
                engine.synchronize(stream.stream()); // the gradients' copies are on the default stream
            }
            twins.compare("after 31 steps");
            twins.gradients(13);
            invalid(Code.INVALID, "capture it again", twins.cuda::step);
            invalid(Code.INVALID, "capture it again", twins.cuda::step);
            twins.cuda.captureStep();
            twins.reference.step();
            twins.cuda.step();
            twins.cuda.releaseCapture();
            engine.synchronize(stream.stream());
            twins.step(15);
            twins.compare("without the graph");
        }
    }

    @Test
    void aMovedGradientEndsAGraph() {
        Tensor value = there(host(DType.FLOAT32, 100));
        try (CudaStream stream = engine.newStream();
             Table table = engine.table(Rule.SGD, List.of(new TensorEntry("p", value, there(host(DType.FLOAT32, 100)), List.of(), 0)))) {
            table.classes(new int[] {0});
            Rows rows = new Rows(1).set(0, Rule.SGD.scalar("step_size"), -0.1);
            try (Graph graph = engine.capture(stream.stream(), () -> engine.step(table, rows, null, Extras.NONE, stream.stream()))) {
                graph.replay(stream.stream());
                table.classes(new int[] {0});
                graph.replay(stream.stream());
                table.point(Column.GRADIENT, Map.of(0, there(host(DType.FLOAT32, 100))));
                invalid(Code.INVALID, "since the graph was captured a tensor has moved", () -> graph.replay(stream.stream()));
            }
        }
        invalid(Code.INVALID, "the default stream cannot be captured", () -> engine.capture(Stream.DEFAULT, () -> { }));
    }

    @Test
    void aFailedCaptureLeavesTheStreamAsItWas() {
        Tensor tensor = there(host(DType.FLOAT32, 10));
        try (CudaStream stream = engine.newStream()) {
            IllegalStateException thrown = new IllegalStateException("of this test");
            assertEquals(thrown, assertThrows(IllegalStateException.class, () -> engine.capture(stream.stream(), () -> {
                throw thrown;
            })));
            engine.fill(tensor, 2, stream.stream());
            stream.synchronize();
            assertEquals(2, back(tensor).get(0));
        }
    }

    // ---- What fails

    @Test
    void eachFailureOfTheDriverIsOneOfItsOwn() {
        try (CudaShim shim = shim()) {
            shim.fail("cuMemAlloc_v2", 0, 2);
            CudaException full = refused(Problem.OUT_OF_MEMORY, Code.EXHAUSTED, "cuMemAlloc of 65536 bytes: CUDA_ERROR_OUT_OF_MEMORY (2) on cuda:0 "
                    + "(Panoptim's shim): no memory is left", () -> engine.memory().zeros(DType.FLOAT32, 1));
            assertEquals(2, full.result());
            shim.fail("cuCtxPushCurrent_v2", 0, 709);
            refused(Problem.CLOSED_CONTEXT, Code.CLOSED, "cuCtxPushCurrent: CUDA_ERROR_CONTEXT_IS_DESTROYED (709)", () -> engine.newStream());
            shim.fail("cuStreamCreate", 0, 801);
            refused(Problem.OTHER, Code.FAULT, "CUDA_ERROR_NOT_SUPPORTED (801)", () -> engine.newStream());
            refused(Problem.NO_DEVICE, Code.UNAVAILABLE, "CUDA_ERROR_INVALID_DEVICE (101)", () -> Engines.named("cuda:7"));
        } finally {
            CudaShim.shared().reset();
        }
    }

    @Test
    void aLaunchThatIsRefusedWritesNothing() {
        try (CudaShim shim = shim(); Twins twins = new Twins(CudaEngineTest::adam, 2, DType.FLOAT32, DType.FLOAT64)) {
            twins.step(3);
            twins.gradients(3);
            shim.fail("cuLaunchKernel", 0, 701);
            refused(Problem.LAUNCH_FAILURE, Code.EXHAUSTED, "cuLaunchKernel: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES (701) on cuda:0", twins.cuda::step);
            twins.compare("nothing was written");
            twins.reference.step();
            twins.cuda.step();
            twins.compare("and it goes on");
            shim.fail("cuLaunchKernel", 1, 701);
            refused(Problem.LAUNCH_FAILURE, Code.FAULT, "results are half-written", twins.cuda::step);
            invalid(Code.FAULT, "an earlier", twins.cuda::step);
        } finally {
            CudaShim.shared().reset();
        }
    }

    @Test
    void afterAFaultOnTheDeviceTheOptimizerIsPoisonedAndEverythingCloses() {
        try (CudaShim shim = shim()) {
            long streams = shim.count("streams");
            CudaStream stream = engine.newStream();
            Twins twins = new Twins(CudaEngineTest::adam, 2, DType.FLOAT32);
            twins.step(3);
            shim.fail("kernel", 0, 700);
            twins.cuda.step(); // the device is yet to fail
            refused(Problem.LOST_DEVICE, Code.FAULT, "CUDA_ERROR_ILLEGAL_ADDRESS (700) on cuda:0", twins.cuda::step);
            invalid(Code.FAULT, "", twins.cuda::step);
            refused(Problem.LOST_DEVICE, Code.FAULT, "cuStreamSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS", () -> engine.synchronize(Stream.DEFAULT));
            twins.close();
            stream.close();
            memory.close();
            shim.reset(); // the driver is another process's from here on
            assertTrue(shim.count("streams") <= streams + 1);
        } finally {
            CudaShim.shared().reset();
        }
    }

    @Test
    void aFatBinaryThatTheDriverRefusesIsCompiledOrSaysWhatWasTried() {
        try (CudaShim shim = shim()) {
            shim.set("refuse_fat_binary", 209);
            try (CudaEngine compiled = CudaEngine.open(0)) {
                assertTrue(compiled.description().contains("kernels from NVRTC"), compiled.description());
            } catch (CudaException without) {
                assertEquals(Problem.WRONG_ARCHITECTURE, without.problem());
                assertTrue(without.getMessage().contains("no kernels for cuda:0, sm_90: panoptim.fatbin: "), without.getMessage());
                assertTrue(without.getMessage().contains("CUDA_ERROR_NO_BINARY_FOR_GPU (209)"), without.getMessage());
                assertTrue(without.getMessage().contains("libnvrtc.so.12"), without.getMessage());
            }
            shim.set("driver_version", 12040);
            shim.set("compute_major", 3);
            CudaException none = assertThrows(CudaException.class, () -> CudaEngine.open(0));
            assertTrue(none.getMessage().contains("NVRTC 13: the driver is for CUDA 12 and cannot load what it makes"), none.getMessage());
            assertTrue(none.getMessage().contains("no kernels for cuda:0, sm_30"), none.getMessage());
        } finally {
            CudaShim.shared().reset();
        }
    }

    @Test
    void aClosedEngineRefuses() {
        CudaEngine own = CudaEngine.open(0);
        Memory held = own.memory();
        Tensor tensor = held.zeros(DType.FLOAT32, 4);
        Table table = own.table(List.of(new TensorEntry("t", tensor, null, List.of(), 0)));
        assertFalse(own.description().isEmpty());
        own.close();
        own.close();
        invalid(Code.CLOSED, "the engine is closed", () -> own.fill(tensor, 1, Stream.DEFAULT));
        invalid(Code.CLOSED, "the engine is closed", () -> own.map(table, MapOperation.zero(Column.VALUE), Stream.DEFAULT));
        table.close();
        held.close();
    }

    @Test
    void tablesOfOtherEnginesAreRefused() {
        Tensor tensor = host(DType.FLOAT32, 4);
        try (Table table = TestEngines.reference().table(List.of(new TensorEntry("t", tensor, null, List.of(), 0)))) {
            invalid(Code.INVALID, "the table was built by another engine", () -> engine.map(table, MapOperation.zero(Column.VALUE), Stream.DEFAULT));
        }
    }
}
