package io.panoptim.optim.matrix;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.cuda.CudaEngine;
import io.panoptim.engine.cuda.CudaShim;
import io.panoptim.engine.cuda.CudaStream;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.matrix.Shampoo.Grafting;
import io.panoptim.optim.matrix.Shampoo.RootInv;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Adafactor, SOAP and Shampoo over a device's tensors, on a stream of their own, against the reference engine; and what is refused there. */
@Tag("native")
class OnDeviceTest {
    /** The outer products of one gradient have full rank: else SOAP's first basis would be arbitrary. */
    private static final long[][] SHAPES = {{12, 12}, {12, 12}, {4, 3, 2, 5}, {7, 7}, {6}, {}, {3, 0}};

    /**
     * @param bound of differences between engines in float32; 0: the same bits
     */
    private record Kind(String name, double bound, Maker maker) {
        @Override
        public String toString() {
            return name;
        }
    }

    private interface Maker {
        Optimizer make(Engine engine, List<Parameter> parameters);
    }

    private final Arena arena = Arena.ofShared();
    private final Random random = new Random(5);
    private CudaEngine cuda;
    private Memory memory;
    private CudaStream stream;

    static Stream<Kind> kinds() {
        Shampoo.Options shampoo = Shampoo.Options.defaults().withBetas(0.9, 0.99).withEpsilon(1e-4).withGrafting(Grafting.ADAM, 0.999, 1e-8)
                .withPreconditioning(2, 2).withMaxPreconditionerDim(16);
        return Stream.of(new Kind("Adafactor", 0, (engine, p) -> new Adafactor(engine, p, Adafactor.Options.defaults().withWeightDecay(0.1))),
                new Kind("AdafactorHF", 0, (engine, p) -> new AdafactorHF(engine, p, AdafactorHF.Options.defaults())),
                new Kind("AdafactorHF averaging", 0, (engine, p) -> new AdafactorHF(engine, p, AdafactorHF.Options.defaults().withBeta1(0.9))),
                new Kind("SOAP", 2e-4, (engine, p) -> new SOAP(engine, p, SOAP.Options.defaults().withPreconditionFrequency(2))),
                new Kind("Shampoo by eigenvectors", 1e-4, (engine, p) -> new Shampoo(engine, p, shampoo)),
                new Kind("Shampoo by Newton's iterations", 1e-4, (engine, p) -> new Shampoo(engine, p, shampoo.withRootInv(RootInv.COUPLED_NEWTON))));
    }

    @BeforeEach
    void open() {
        cuda = TestEngines.cuda();
        memory = cuda.memory();
        stream = cuda.newStream();
    }

    @AfterEach
    void close() {
        stream.close();
        memory.close();
        arena.close();
    }

    private Tensor gaussian(DType dtype, long... shape) {
        Tensor tensor = Tensor.zeros(arena, dtype, shape);
        for (long i = 0; i < tensor.elements(); i++) {
            tensor.set(i, random.nextGaussian());
        }
        return tensor;
    }

    private Tensor there(Tensor here) {
        Tensor there = memory.zerosLike(here);
        cuda.copy(here, there, stream.stream());
        return there;
    }

    private Tensor here(Tensor there) {
        if (there.device().equals(cuda.device())) {
            Tensor here = Tensor.zeros(arena, there.dtype(), there.shape());
            cuda.copy(there, here, stream.stream());
            return here;
        }
        return there;
    }

    /** Gradients come, go and move; the state is taken from one optimizer to the next. */
    @ParameterizedTest
    @MethodSource("kinds")
    void stepsAreTheReferencesOnes(Kind kind) {
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16)) {
            List<Parameter> parameters = Stream.of(SHAPES).map(shape -> Parameter.of(gaussian(dtype, shape))).toList();
            List<Parameter> twins = parameters.stream().map(parameter -> Parameter.of(there(parameter.value()))).toList();
            Optimizer optimizer = kind.maker.make(TestEngines.reference(), parameters);
            Optimizer twin = kind.maker.make(cuda, twins);
            twin.stream(stream.stream());
            for (int step = 0; step < 7; step++) {
                if (step == 5) {
                    Optimizer next = kind.maker.make(cuda, twins);
                    next.stream(stream.stream());
                    next.loadStateDict(twin.stateDict());
                    twin.close();
                    twin = next;
                }
                for (int i = 0; i < SHAPES.length; i++) {
                    boolean missing = step == 2 && i == 1;
                    Tensor gradient = gaussian(dtype, SHAPES[i]);
                    parameters.get(i).gradient(missing ? null : gradient);
                    twins.get(i).gradient(missing ? null : there(gradient));
                }
                optimizer.step();
                twin.step();
            }
            for (int i = 0; i < SHAPES.length; i++) {
                String message = kind + ", " + dtype + ", parameter " + i;
                assertNear(kind, dtype, parameters.get(i).value(), here(twins.get(i).value()), message);
                if (kind.bound == 0) {
                    Parameter of = twins.get(i);
                    Optimizer asked = twin;
                    optimizer.state(parameters.get(i)).forEach((key, state) -> Bits.assertSame(state, here(asked.state(of).get(key)),
                            message + ", " + key));
                }
            }
            optimizer.close();
            twin.close();
        }
    }

    private static void assertNear(Kind kind, DType dtype, Tensor expected, Tensor found, String message) {
        if (kind.bound == 0) {
            Bits.assertSame(expected, found, message);
            return;
        }
        double bound = dtype == DType.FLOAT64 ? 1e-9 : dtype == DType.BFLOAT16 ? 2e-2 : kind.bound;
        for (long i = 0; i < expected.elements(); i++) {
            assertEquals(expected.get(i), found.get(i), bound * Math.max(1, Math.abs(expected.get(i))), message + ", element " + i);
        }
    }

    /** Values and gradients of different types, in every combination that is computed with likewise. */
    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
    void gradientsMayBeOfAnotherType(DType dtype) {
        List<DType> types = List.of(DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16);
        long[][] shapes = {{66, 530}, {5, 3, 3}, {600}};
        List<Parameter> parameters = new ArrayList<>();
        List<Parameter> twins = new ArrayList<>();
        for (DType type : types) {
            for (long[] shape : shapes) {
                parameters.add(Parameter.of(gaussian(dtype, shape)).gradient(gaussian(type, shape)));
                twins.add(Parameter.of(there(parameters.getLast().value())).gradient(there(parameters.getLast().gradient())));
            }
        }
        try (Optimizer optimizer = new AdafactorHF(TestEngines.reference(), parameters, AdafactorHF.Options.defaults());
                Optimizer twin = new AdafactorHF(cuda, twins, AdafactorHF.Options.defaults())) {
            twin.stream(stream.stream());
            for (int step = 0; step < 2; step++) {
                optimizer.step();
                twin.step();
            }
            for (int i = 0; i < parameters.size(); i++) {
                Bits.assertSame(parameters.get(i).value(), here(twins.get(i).value()), "parameter " + i);
            }
        }
    }

    /** More blocks than a block of threads adds up at a time, batches of matrices of several blocks, and whatever order blocks run in. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void blocksMayRunInAnyOrder(boolean backwards) {
        assumeTrue(!backwards || TestEngines.isCudaSlow(), "only the stand-in runs blocks in the order that it is told");
        long[][] shapes = {{33000, 2}, {2, 65, 4097}, {300, 5}, {7, 6, 5}, {5000}};
        List<Parameter> parameters = new ArrayList<>();
        List<Parameter> twins = new ArrayList<>();
        for (long[] shape : shapes) {
            parameters.add(Parameter.of(gaussian(DType.FLOAT32, shape)).gradient(gaussian(DType.FLOAT32, shape)));
            twins.add(Parameter.of(there(parameters.getLast().value())).gradient(there(parameters.getLast().gradient())));
        }
        AdafactorHF.Options options = AdafactorHF.Options.defaults().withBeta1(0.9);
        CudaShim shim = backwards ? CudaShim.shared() : null;
        try (Optimizer optimizer = new AdafactorHF(TestEngines.reference(), parameters, options);
                Optimizer twin = new AdafactorHF(cuda, twins, options)) {
            if (shim != null) {
                shim.set("backwards", 1);
                shim.set("lazy", 1);
            }
            twin.stream(stream.stream());
            for (int step = 0; step < 2; step++) {
                optimizer.step();
                twin.step();
            }
            for (int i = 0; i < shapes.length; i++) {
                Parameter of = twins.get(i);
                Bits.assertSame(parameters.get(i).value(), here(of.value()), "parameter " + i);
                optimizer.state(parameters.get(i)).forEach((key, state) -> Bits.assertSame(state, here(twin.state(of).get(key)), key));
            }
        } finally {
            if (shim != null) {
                cuda.synchronize(stream.stream());
                shim.reset();
                shim.close();
            }
        }
    }

    /** The root mean square is that of the values before the last step, whenever it is asked for. */
    @Test
    void whatIsAskedOfAStepIsThere() {
        Parameter w = Parameter.of(there(gaussian(DType.FLOAT32, 30, 20))).gradient(there(gaussian(DType.FLOAT32, 30, 20)));
        Parameter empty = Parameter.of(memory.zeros(DType.FLOAT32, 0, 3)).gradient(memory.zeros(DType.FLOAT32, 0, 3));
        try (AdafactorHF optimizer = new AdafactorHF(cuda, List.of(w, empty), AdafactorHF.Options.defaults())) {
            optimizer.stream(stream.stream());
            for (int step = 0; step < 3; step++) {
                Tensor before = here(w.value());
                double sum = IntStream.range(0, 600).mapToDouble(i -> before.get(i) * before.get(i)).sum();
                optimizer.step();
                assertEquals(Math.sqrt(sum / 600), optimizer.state(w).get("RMS").get(0), 1e-14);
                w.gradient(there(gaussian(DType.FLOAT32, 30, 20)));
            }
            double rms = optimizer.state(w).get("RMS").get(0);
            w.gradient(null);
            optimizer.step();
            assertEquals(rms, optimizer.state(w).get("RMS").get(0), "its plan is closed");
        }
    }

    @Test
    void captureIsRefused() {
        Parameter w = Parameter.of(there(gaussian(DType.FLOAT32, 30, 20))).gradient(there(gaussian(DType.FLOAT32, 30, 20)));
        Tensor before = here(w.value());
        try (Adafactor optimizer = new Adafactor(cuda, List.of(w), Adafactor.Options.defaults())) {
            optimizer.stream(stream.stream());
            refused("cannot be captured", () -> cuda.capture(stream.stream(), optimizer::step));
        }
        Bits.assertSame(before, here(w.value()), "nothing has been done");
    }

    @Test
    void memoryThatIsClosedIsRefused() {
        Memory own = cuda.memory();
        Parameter w = Parameter.of(there(gaussian(DType.FLOAT32, 3, 2))).gradient(own.zeros(DType.FLOAT32, 3, 2));
        try (Adafactor optimizer = new Adafactor(cuda, List.of(w), Adafactor.Options.defaults())) {
            optimizer.step();
            own.close();
            refused(Code.CLOSED, "the gradient of", optimizer::step);
            w.gradient(memory.zeros(DType.FLOAT32, 3, 2));
            optimizer.step();
        }
    }

    @Test
    void aFailingLaunchIsAFaultOnceThereWasAnother() {
        assumeTrue(TestEngines.isCudaSlow(), "only the stand-in fails as it is told");
        try (CudaShim shim = CudaShim.shared()) {
            for (int launches = 0; launches < 3; launches++) {
                Parameter w = Parameter.of(there(gaussian(DType.FLOAT32, 3, 2))).gradient(there(gaussian(DType.FLOAT32, 3, 2)));
                try (Adafactor optimizer = new Adafactor(cuda, List.of(w), Adafactor.Options.defaults())) {
                    optimizer.step();
                    shim.fail("cuLaunchKernel", launches, 701);
                    refused(Code.FAULT, launches == 0 ? "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES" : "results are half-written", optimizer::step);
                    shim.reset();
                    refused(Code.FAULT, "an earlier step failed half-way", optimizer::step);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void whatIsAllocatedIsFreed(Kind kind) {
        Parameter w = Parameter.of(there(gaussian(DType.FLOAT32, 30, 20))).gradient(there(gaussian(DType.FLOAT32, 30, 20)));
        long before = 0;
        for (int run = 0; run < 2; run++) {
            before = cuda.allocatedBytes(); // with what the engine keeps after the first time
            try (Optimizer optimizer = kind.maker.make(cuda, List.of(w))) {
                for (int step = 0; step < 3; step++) {
                    optimizer.step();
                }
                assertTrue(cuda.allocatedBytes() > before);
            }
        }
        assertEquals(before, cuda.allocatedBytes());
    }
}
