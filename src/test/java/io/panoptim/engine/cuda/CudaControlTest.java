package io.panoptim.engine.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Column;
import io.panoptim.engine.Control;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Extras.Part;
import io.panoptim.engine.Graph;
import io.panoptim.engine.Measurement;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Scaling;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.JointStep;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.SGD;
import io.panoptim.optim.StepContext;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Loss scaling and what rides along with a step, as ordered on streams of a GPU or of the stand-in for a driver. */
class CudaControlTest {
    private static final Measurement CLIPPED = new Measurement(2, 10, true, true);
    private static final Scaling SCALING = new Scaling(2, 0.5, 1, 1);
    private static final Extras EXTRAS = Extras.of(Part.UNSCALE, Part.CLIP, Part.WRITE_GRADIENT, Part.AVERAGE, Part.COPY, Part.STATISTICS,
            Part.SKIP);

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

    private static CudaShim shim() {
        assumeTrue(TestEngines.isCudaSlow(), "the tests run on a GPU");
        return CudaShim.shared();
    }

    /** The same tensors on the CPU and on the device, in tables with the same rows. */
    private final class Twins implements AutoCloseable {
        final Engine reference = TestEngines.reference();
        final List<Tensor> here = new ArrayList<>();
        final List<Tensor> there = new ArrayList<>();
        final Table expected;
        final Table actual;
        final Control control = reference.control();
        final Control block = engine.control();
        final Rows rows = new Rows(1);

        Twins() {
            for (DType dtype : List.of(DType.BFLOAT16, DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16, DType.FLOAT32)) {
                here.add(filled(Tensor.zeros(arena, dtype, 3001)));
                there.add(memory.zerosLike(here.getLast()));
                engine.copy(here.getLast(), there.getLast(), Stream.DEFAULT);
            }
            expected = reference.table(Rule.ADAM, List.of(entry(here)));
            actual = engine.table(Rule.ADAM, List.of(entry(there)));
            expected.classes(new int[] {0});
            actual.classes(new int[] {0});
            for (int i = 0; i < Rule.ADAM.scalars().size(); i++) {
                rows.set(0, i, random.nextDouble(0.1, 0.9));
            }
        }

        private static TensorEntry entry(List<Tensor> tensors) {
            return new TensorEntry("p", tensors.get(0), tensors.get(1), tensors.subList(2, 4), Map.of(Column.AVERAGE, tensors.get(4),
                    Column.COPY, tensors.get(5), Column.MASTER, tensors.get(6)), 0, 0, tensors.get(0).elements(), 0, 1);
        }

        /** New gradients in both. */
        void gradients(double first) {
            filled(here.get(1)).set(0, first);
            engine.copy(here.get(1), there.get(1), Stream.DEFAULT);
            engine.synchronize(Stream.DEFAULT);
        }

        void stepHere() {
            reference.measure(List.of(expected), CLIPPED, control, Stream.DEFAULT);
            reference.step(expected, rows, control, EXTRAS, Stream.DEFAULT);
            control.update(SCALING, Stream.DEFAULT);
        }

        void stepThere(Stream stream) {
            engine.measure(List.of(actual), CLIPPED, block, stream);
            engine.step(actual, rows, block, EXTRAS, stream);
            block.update(SCALING, stream);
        }

        void compare(String when) {
            assertEquals(control.read(), block.read(), when);
            assertArrayEquals(expected.statistics(), actual.statistics(), when);
            for (int i = 0; i < here.size(); i++) {
                Tensor back = Tensor.zeros(arena, here.get(i).dtype(), here.get(i).elements());
                engine.copy(there.get(i), back, Stream.DEFAULT);
                Bits.assertSame(here.get(i), back, i + ", " + when);
            }
        }

        @Override
        public void close() {
            expected.close();
            actual.close();
            control.close();
            block.close();
        }
    }

    private Tensor filled(Tensor tensor) {
        for (long i = 0; i < tensor.elements(); i++) {
            tensor.set(i, random.nextGaussian());
        }
        return tensor;
    }

    @Test
    void aCapturedStepFollowsWhatRidesAlong() {
        try (CudaStream stream = engine.newStream(); Twins twins = new Twins()) {
            twins.control.scale(3, 0, 1, Stream.DEFAULT);
            twins.block.scale(3, 0, 1, stream.stream());
            stream.synchronize();
            try (Graph graph = engine.capture(stream.stream(), () -> twins.stepThere(stream.stream()))) {
                assertEquals(0, twins.block.read().applied(), "a capture measures nothing");
                for (int step = 0; step < 6; step++) {
                    twins.rows.set(0, 0, 0.1 * step).average(0, 0.2 * step).keep(0, 1 - 0.01 * step);
                    twins.gradients(step == 3 ? Double.NaN : step);
                    if (step == 2) { // between replays
                        twins.control.scale(7, 0, 1, Stream.DEFAULT);
                        twins.block.scale(7, 0, 1, stream.stream());
                    }
                    twins.stepHere();
                    graph.replay(stream.stream());
                    stream.synchronize();
                    twins.compare("replay " + step);
                    assertEquals(twins.control.read(), twins.block.latest());
                }
                assertEquals(5, twins.block.read().applied());
                assertEquals(1, twins.block.read().skipped());
                twins.block.close();
                refused(Code.CLOSED, "the control block is closed", () -> graph.replay(stream.stream()));
            }
        }
    }

    @Test
    void aMovedGradientEndsAGraphThatMeasures() {
        try (CudaStream stream = engine.newStream(); Twins twins = new Twins();
             Graph graph = engine.capture(stream.stream(), () ->
                     engine.measure(List.of(twins.actual), CLIPPED, twins.block, stream.stream()))) {
            graph.replay(stream.stream());
            twins.actual.point(Column.GRADIENT, Map.of(0, memory.zerosLike(twins.there.get(1))));
            refused(Code.INVALID, "since the graph was captured a tensor has moved", () -> graph.replay(stream.stream()));
        }
    }

    /** On the stand-in nothing runs before something waits for it, but for one operation whenever it is asked how far it has come. */
    @Test
    void nothingOfAMeasuredStepWaitsForTheDevice() {
        try (CudaShim shim = shim(); CudaStream stream = engine.newStream(); Twins twins = new Twins()) {
            twins.stepHere();
            twins.stepThere(stream.stream()); // which allocates
            stream.synchronize();
            twins.compare("at first");
            twins.gradients(1);
            shim.set("lazy", 1);
            try {
                long before = shim.count("launches");
                for (int step = 0; step < 2; step++) {
                    twins.stepHere();
                    twins.stepThere(stream.stream());
                    assertEquals(before, shim.count("launches"), "step " + step);
                }
                assertEquals(1, twins.block.latest().applied(), "what has arrived");
                for (int step = 0; step < 10; step++) { // orders more than places where it arrives
                    twins.stepHere();
                    twins.stepThere(stream.stream());
                }
                assertTrue(shim.count("launches") < before + 50, "it has waited");
                assertTrue(twins.block.latest().applied() < 13, "what has arrived");
                assertEquals(twins.control.read(), twins.block.read());
                assertEquals(13, twins.block.latest().applied());
            } finally {
                shim.reset();
            }
            stream.synchronize();
            twins.compare("after all");
        }
    }

    @Test
    void whatIsClosedMayBeInUse() {
        try (CudaShim shim = shim(); CudaStream stream = engine.newStream(); Twins twins = new Twins()) {
            shim.set("lazy", 1);
            twins.stepThere(stream.stream());
            twins.block.close();
            twins.actual.close();
            shim.reset();
            stream.synchronize();
        }
        assertEquals(1, engine.control().read().scale(), "the device still works");
    }

    /** A step that is skipped counts for none of them. */
    @Test
    void optimizersStepTogether() {
        List<List<Parameter>> here = List.of(parameters(), parameters());
        List<List<Parameter>> there = here.stream().map(each -> each.stream().map(parameter -> {
            Tensor twin = memory.zerosLike(parameter.value());
            engine.copy(parameter.value(), twin, Stream.DEFAULT);
            return Parameter.of(parameter.name(), twin);
        }).toList()).toList();
        List<Optimizer> expected = optimizers(TestEngines.reference(), here);
        List<Optimizer> actual = optimizers(engine, there);
        JointStep reference = new JointStep(expected);
        JointStep cuda = new JointStep(actual);
        try (Control control = reference.engine().control(); Control block = engine.control()) {
            for (int step = 0; step < 5; step++) {
                for (int i = 0; i < here.size(); i++) {
                    for (int k = 0; k < here.get(i).size(); k++) {
                        Tensor gradient = filled(Tensor.zeros(arena, DType.FLOAT32, here.get(i).get(k).value().elements()));
                        gradient.set(0, step == 2 && i == 1 ? Double.NEGATIVE_INFINITY : 1);
                        here.get(i).get(k).gradient(gradient);
                        Tensor twin = memory.zerosLike(gradient);
                        engine.copy(gradient, twin, Stream.DEFAULT);
                        there.get(i).get(k).gradient(twin);
                    }
                }
                step(reference, control);
                step(cuda, block);
                assertEquals(control.read(), block.read(), "step " + step);
            }
            assertEquals(1, block.read().skipped());
            for (int i = 0; i < here.size(); i++) {
                for (int k = 0; k < here.get(i).size(); k++) {
                    Tensor back = Tensor.zeros(arena, DType.FLOAT32, here.get(i).get(k).value().elements());
                    engine.copy(there.get(i).get(k).value(), back, Stream.DEFAULT);
                    Bits.assertSame(here.get(i).get(k).value(), back, expected.get(i).name() + " " + k);
                }
            }
        } finally {
            expected.forEach(Optimizer::close);
            actual.forEach(Optimizer::close);
        }
    }

    private List<Parameter> parameters() {
        return IntStream.range(0, 3).mapToObj(i -> Parameter.of("p" + i, filled(Tensor.zeros(arena, DType.FLOAT32, 100 + i)))).toList();
    }

    private static List<Optimizer> optimizers(Engine engine, List<List<Parameter>> parameters) {
        return List.of(new AdamW(engine, parameters.get(0), AdamW.Options.defaults()),
                new SGD(engine, parameters.get(1), SGD.Options.defaults().withLr(0.1).withMomentum(0.9)));
    }

    private static void step(JointStep together, Control control) {
        together.measure(CLIPPED, control);
        together.step(new StepContext(control, Extras.of(Part.UNSCALE, Part.CLIP, Part.SKIP), 0, 0));
        control.update(SCALING, Stream.DEFAULT);
    }

    @Test
    void blocksFollowOthers() {
        try (Control a = engine.control(); Control b = engine.control()) {
            b.scale(5, 0, 1, Stream.DEFAULT);
            a.scaleOf(b, Stream.DEFAULT);
            assertEquals(5, a.read().scale());
            assertEquals(0.2f, a.read().inverseScale());
            a.merge(b, Stream.DEFAULT);
            assertEquals(false, a.foundInf());
            b.foundInf(Float.NaN, Stream.DEFAULT);
            a.merge(b, Stream.DEFAULT);
            assertEquals(true, a.foundInf());
        }
    }

    @Test
    void blocksOfOthersAndClosedOnesAreRefused() {
        Control block = engine.control();
        try (Control host = TestEngines.reference().control(); Twins twins = new Twins()) {
            refused(Code.INVALID, "the control block is another device's", () -> block.merge(host, Stream.DEFAULT));
            refused(Code.INVALID, "the control block is another device's", () -> block.scaleOf(host, Stream.DEFAULT));
            refused(Code.INVALID, "the control block is another device's", () -> host.merge(block, Stream.DEFAULT));
            refused(Code.INVALID, "the control block is another device's",
                    () -> engine.measure(List.of(twins.actual), CLIPPED, host, Stream.DEFAULT));
            refused(Code.INVALID, "the control block is another device's",
                    () -> engine.step(twins.actual, twins.rows, host, EXTRAS, Stream.DEFAULT));
            refused(Code.INVALID, "built by another engine",
                    () -> engine.measure(List.of(twins.actual, twins.expected), CLIPPED, block, Stream.DEFAULT));
            assertEquals(0, block.read().applied() + block.read().skipped());
            refused(Code.UNSUPPORTED, "only to bfloat16 is a copy rounded stochastically",
                    () -> engine.step(twins.actual, twins.rows, block, new Extras(Part.COPY.flag(), true), Stream.DEFAULT));
            block.close();
            block.close();
            refused(Code.CLOSED, "the control block is closed", block::read);
            refused(Code.CLOSED, "the control block is closed", block::latest);
            refused(Code.CLOSED, "the control block is closed", block::foundInf);
            refused(Code.CLOSED, "the control block is closed", () -> block.scale(1, 0, 1, Stream.DEFAULT));
            refused(Code.CLOSED, "the control block is closed", () -> block.update(SCALING, Stream.DEFAULT));
            refused(Code.CLOSED, "the control block is closed", () -> twins.block.merge(block, Stream.DEFAULT));
        }
    }

    @Test
    void aBlockFreesItsMemory() {
        long before = engine.allocatedBytes();
        try (Control block = engine.control(); Twins twins = new Twins()) {
            engine.measure(List.of(twins.actual, twins.actual, twins.actual), CLIPPED, block, Stream.DEFAULT);
            assertTrue(engine.allocatedBytes() > before);
        }
        memory.close();
        assertEquals(before, engine.allocatedBytes());
    }

    private static void refused(Code code, String words, Executable call) {
        PanoptimException refusal = assertThrows(PanoptimException.class, call);
        assertTrue(refusal.getMessage().contains(words), () -> "'" + words + "' is not in: " + refusal.getMessage());
        assertEquals(code, refusal.code());
    }
}
