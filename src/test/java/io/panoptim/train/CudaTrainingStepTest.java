package io.panoptim.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Stream;
import io.panoptim.engine.cuda.CudaEngine;
import io.panoptim.engine.cuda.CudaShim;
import io.panoptim.engine.cuda.CudaStream;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.AdamWScheduleFree;
import io.panoptim.optim.NAdam;
import io.panoptim.optim.Optimizer;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Steps with a scaler on a device, of which the CPU learns later whether they took place. */
class CudaTrainingStepTest extends Opened {
    private static final int[] SIZES = {1000, 17};
    private static final List<Integer> OVERFLOWING = List.of(3, 7, 8);
    private static final int STEPS = 14;
    private static final GradScaler.Options SCALING = GradScaler.Options.defaults().withInitScale(512).withGrowthInterval(3);

    private CudaEngine cuda;

    @BeforeEach
    void open() {
        cuda = TestEngines.cuda();
    }

    /** Two optimizers with clipping, a scaler and an average; the same on every engine. */
    private final class Model {
        final Engine engine;
        final Stream stream;
        final Memory memory;
        final List<Parameter> parameters = new ArrayList<>();
        final List<Optimizer> optimizers;
        final GradScaler scaler;
        final AveragedModel average;
        final TrainingStep step;
        final Random random = new Random(7);

        Model(Engine engine, Stream stream) {
            this.engine = engine;
            this.stream = stream;
            memory = open(engine.memory());
            for (int size : SIZES) {
                parameters.add(Parameter.of("p" + size, placed(size)).gradient(placed(size)));
            }
            optimizers = List.of(open(new AdamW(engine, parameters.subList(0, 1), AdamW.Options.defaults().withLr(0.1))),
                    open(new NAdam(engine, parameters.subList(1, 2), NAdam.Options.defaults())));
            optimizers.forEach(optimizer -> optimizer.stream(stream));
            scaler = open(new GradScaler(engine, SCALING));
            average = open(new AveragedModel(engine, parameters, Averaging.getEmaMultiAvgFn(0.9)));
            scaler.scale(1);
            step = open(TrainingStep.of(optimizers.toArray(Optimizer[]::new)).clipGradNorm(5).scaler(scaler).average(average).statistics()
                    .build());
        }

        private Tensor placed(int size) {
            Tensor placed = memory.zeros(DType.FLOAT32, size);
            fill(placed, 1, false);
            return placed;
        }

        private void fill(Tensor tensor, double scale, boolean overflowing) {
            Tensor here = Tensor.zeros(arena, DType.FLOAT32, tensor.elements());
            for (int i = 0; i < here.elements(); i++) {
                here.set(i, random.nextGaussian() * scale);
            }
            if (overflowing) {
                here.set(0, Double.NaN);
            }
            engine.copy(here, tensor, stream);
        }

        void step(int number) {
            gradients(number);
            step.step();
        }

        void gradients(int number) {
            for (Parameter parameter : parameters) {
                fill(parameter.gradient(), 300, OVERFLOWING.contains(number) && parameter == parameters.getLast());
            }
        }

        private double[] here(Tensor tensor) {
            Tensor here = tensor;
            if (!tensor.device().equals(Device.cpu())) {
                here = Tensor.zeros(arena, tensor.dtype(), tensor.shape());
                engine.copy(tensor, here, stream);
                cuda.synchronize(stream);
            }
            double[] values = new double[(int) here.elements()];
            for (int i = 0; i < values.length; i++) {
                values[i] = here.get(i);
            }
            return values;
        }
    }

    private static void compare(Model expected, Model actual, String when) {
        assertEquals(expected.step.skipped(), actual.step.skipped(), when);
        assertEquals(expected.average.nAveraged(), actual.average.nAveraged(), when);
        assertEquals(expected.scaler.getScale(), actual.scaler.getScale(), when);
        assertEquals(norms(expected), norms(actual), when);
        for (int i = 0; i < SIZES.length; i++) {
            Optimizer one = expected.optimizers.get(i);
            Optimizer other = actual.optimizers.get(i);
            Parameter here = expected.parameters.get(i);
            Parameter there = actual.parameters.get(i);
            assertEquals(one.steps(), other.steps(), when);
            assertArrayEquals(expected.here(here.value()), actual.here(there.value()), when);
            assertArrayEquals(expected.here(expected.average.average(here)), actual.here(actual.average.average(there)), when);
            assertEquals(one.state(here).keySet(), other.state(there).keySet(), when);
            one.state(here).forEach((key, state) -> assertArrayEquals(expected.here(state), actual.here(other.state(there).get(key)),
                    when + ": " + key));
        }
    }

    private static List<Double> norms(Model model) {
        return model.step.statistics().stream().flatMap(group -> java.util.stream.Stream.of(group.gradientNorm(), group.updateNorm(), group.parameterNorm()))
                .toList();
    }

    /** Whether it looks after each step or only now and then. */
    @Test
    void whatIsSkippedIsCountedAsOnTheCpuWheneverItIsAskedFor() {
        for (int every : new int[] {1, 2, 5, STEPS}) {
            Model expected = new Model(TestEngines.reference(), Stream.DEFAULT);
            Model actual = new Model(cuda, open(cuda.newStream()).stream());
            for (int step = 0; step < STEPS; step++) {
                expected.step(step);
                actual.step(step);
                if ((step + 1) % every == 0 || step == STEPS - 1) {
                    compare(expected, actual, "asked every " + every + " steps, after step " + step);
                }
            }
            assertEquals(STEPS - OVERFLOWING.size(), actual.optimizers.getFirst().steps());
        }
    }

    /** On the stand-in nothing runs before something waits for it. */
    @Test
    void aStepWithAScalerWaitsForNothingOfItsOwn() {
        assumeTrue(TestEngines.isCudaSlow(), "the tests run on a GPU");
        try (CudaShim shim = CudaShim.shared(); CudaStream stream = cuda.newStream()) {
            Model expected = new Model(TestEngines.reference(), Stream.DEFAULT);
            Model actual = new Model(cuda, stream.stream());
            for (int step = 0; step < 2; step++) { // the first one allocates, and the first average is a copy
                expected.step(step);
                actual.step(step);
            }
            stream.synchronize();
            shim.set("lazy", 1);
            try {
                long before = shim.count("launches");
                expected.step.step();
                actual.step.step();
                assertEquals(before, shim.count("launches"), "it has waited");
                for (int step = 3; step < STEPS; step++) {
                    expected.step.step();
                    actual.step.step();
                }
                long ran = shim.count("launches");
                stream.synchronize();
                assertTrue(ran < shim.count("launches"), "the last step has waited");
            } finally {
                shim.reset();
            }
            compare(expected, actual, "after all");
            while (!opened.isEmpty()) {
                close(opened.removeLast());
            }
        }
    }

    private static void close(AutoCloseable closeable) {
        try {
            closeable.close();
        } catch (Exception failed) {
            throw new AssertionError(failed);
        }
    }

    /** A parameter whose first step is not known to have taken place is moved to its average like any other. */
    @Test
    void scheduleFreeEvaluatesAfterAllStepsSoFar() {
        List<double[]> expected = scheduleFree(TestEngines.reference());
        List<double[]> actual = scheduleFree(cuda);
        for (int i = 0; i < expected.size(); i++) {
            assertArrayEquals(expected.get(i), actual.get(i), "" + i);
        }
    }

    private List<double[]> scheduleFree(Engine engine) {
        Model model = new Model(engine, Stream.DEFAULT);
        AdamWScheduleFree optimizer = open(new AdamWScheduleFree(engine, model.parameters, AdamWScheduleFree.Options.defaults()));
        TrainingStep step = open(TrainingStep.of(optimizer).scaler(model.scaler).build());
        List<double[]> values = new ArrayList<>();
        optimizer.train();
        Tensor later = model.parameters.getFirst().gradient();
        model.parameters.getFirst().gradient(null);
        step.step();
        step.step();
        model.parameters.getFirst().gradient(later);
        step.step();
        optimizer.eval();
        model.parameters.forEach(parameter -> values.add(model.here(parameter.value())));
        optimizer.train();
        model.parameters.forEach(parameter -> values.add(model.here(parameter.value())));
        return values;
    }

    @Test
    void manyOptimizersLearnOfTheSameOverflow() {
        assumeTrue(TestEngines.isCudaSlow(), "the tests run on a GPU");
        try (CudaShim shim = CudaShim.shared(); CudaStream stream = cuda.newStream()) {
            Model model = new Model(cuda, stream.stream());
            List<Optimizer> many = new ArrayList<>();
            for (int i = 0; i < 9; i++) {
                many.add(open(new AdamW(cuda, List.of(Parameter.of("q" + i, model.placed(5)).gradient(model.placed(5))),
                        AdamW.Options.defaults())));
                many.getLast().stream(stream.stream());
            }
            TrainingStep step = open(TrainingStep.of(many.toArray(Optimizer[]::new)).scaler(model.scaler).build());
            step.step();
            stream.synchronize();
            shim.set("lazy", 1);
            try {
                long before = shim.count("launches");
                step.step();
                assertEquals(before, shim.count("launches"), "it has waited");
            } finally {
                shim.reset();
            }
            assertEquals(2, many.getLast().steps());
            while (!opened.isEmpty()) {
                close(opened.removeLast());
            }
        }
    }

    /** What is multiplied by it on the device needs no number on the CPU. */
    @Test
    void theScaleLiesOnTheDevice() {
        Model model = new Model(cuda, Stream.DEFAULT);
        assertArrayEquals(new double[] {512}, model.here(model.scaler.scale()));
        model.step(3);
        assertArrayEquals(new double[] {256}, model.here(model.scaler.scale()));
    }
}
