package io.panoptim.train;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;

import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.SGD;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Gradients of micro-batches are added up in float32. */
@Tag("native")
class GradientAccumulatorTest {
    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    private Tensor tensor(DType dtype, double... values) {
        Tensor tensor = Tensor.zeros(arena, dtype, values.length);
        for (int i = 0; i < values.length; i++) {
            tensor.set(i, values[i]);
        }
        return tensor;
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void whatIsTooSmallForAHalfSumIsKeptAndUsedByAStep(String name) {
        Engine engine = TestEngines.named(name);
        for (DType dtype : new DType[] {DType.BFLOAT16, DType.FLOAT16, DType.FLOAT32}) {
            Tensor gradient = tensor(DType.BFLOAT16, 1, 1);
            Parameter p = Parameter.of("p", tensor(dtype, 0, 0)).gradient(gradient);
            try (SGD sgd = new SGD(engine, List.of(p), SGD.Options.defaults().withLr(1));
                    GradientAccumulator accumulator = GradientAccumulator.sum(engine, List.of(p))) {
                for (int step = 0; step < 2; step++) {
                    for (int i = 0; i < 1024; i++) {
                        gradient.set(0, i == 0 ? 1 : 0x1p-10);
                        gradient.set(1, i == 0 ? -0.25 : 0);
                        accumulator.accumulate();
                    }
                    assertEquals(1024, accumulator.count());
                    accumulator.attach();
                    assertEquals(DType.FLOAT32, p.gradient().dtype());
                    assertEquals(2 - 0x1p-10, p.gradient().get(0));
                    sgd.step();
                    accumulator.detach();
                    assertSame(gradient, p.gradient());
                }
                Tensor expected = tensor(dtype, -(2 - 0x1p-10));
                expected.set(0, expected.get(0) - (2 - 0x1p-10));
                assertEquals(expected.get(0), p.value().get(0));
                assertEquals(0.5, p.value().get(1));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void theMeanIsTheStepOfTheWholeBatch(String name) {
        Engine engine = TestEngines.named(name);
        Parameter whole = Parameter.of("whole", tensor(DType.FLOAT32, 1)).gradient(tensor(DType.FLOAT32, 2.5));
        Parameter parts = Parameter.of("parts", tensor(DType.FLOAT32, 1));
        try (AdamW expected = new AdamW(engine, List.of(whole), AdamW.Options.defaults());
                AdamW actual = new AdamW(engine, List.of(parts), AdamW.Options.defaults());
                GradientAccumulator accumulator = GradientAccumulator.mean(engine, List.of(parts), 4);
                TrainingStep step = TrainingStep.of(actual).clipGradNorm(1).zeroGrad().build();
                TrainingStep other = TrainingStep.of(expected).clipGradNorm(1).build()) {
            for (double g : new double[] {1, 2, 3, 4}) {
                parts.gradient(tensor(DType.FLOAT16, g));
                accumulator.accumulate();
            }
            accumulator.attach();
            step.step();
            other.step();
            accumulator.detach();
            assertEquals(whole.value().get(0), parts.value().get(0));
            assertEquals(4, parts.gradient().get(0), "the model's own");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aParameterThatHadNoGradientInAnyMicroBatchHasNone(String name) {
        Engine engine = TestEngines.named(name);
        Parameter a = Parameter.of("a", tensor(DType.FLOAT64, 1)).gradient(tensor(DType.FLOAT64, 0.1));
        Parameter b = Parameter.of("b", tensor(DType.BFLOAT16, 1));
        Parameter c = Parameter.of("c", tensor(DType.BFLOAT16, 1));
        try (GradientAccumulator accumulator = GradientAccumulator.sum(engine, List.of(a, b, c))) {
            accumulator.accumulate();
            a.gradient(null);
            b.gradient(tensor(DType.BFLOAT16, 3));
            accumulator.accumulate();
            accumulator.attach();
            assertEquals(0.1, a.gradient().get(0));
            assertEquals(3, b.gradient().get(0));
            assertNull(c.gradient());
            refused(Code.INVALID, "call detach() first", accumulator::accumulate);
            refused(Code.INVALID, "call detach() first", accumulator::attach);
            accumulator.detach();
            refused(Code.INVALID, "call attach() first", accumulator::detach);
            assertNull(a.gradient());
            accumulator.accumulate();
            accumulator.attach();
            assertNull(a.gradient());
            assertEquals(3, b.gradient().get(0), "the sum has begun anew");
            accumulator.detach();
        }
        refused(Code.INVALID, "expected at least 1", () -> GradientAccumulator.mean(engine, List.of(a), 0));
        refused(Code.INVALID, "half types and float32 can be mixed", () -> a.gradient(tensor(DType.FLOAT32, 1)));
        refused(Code.INVALID, "half types and float32 can be mixed", () -> b.gradient(Tensor.zeros(arena, DType.INT64, 1)));
    }
}
