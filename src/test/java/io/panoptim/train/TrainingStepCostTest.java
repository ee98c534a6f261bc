package io.panoptim.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.optim.AdamW;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What a whole step costs beside its passes over memory. */
@Tag("native")
class TrainingStepCostTest {
    /** The compiler works beside the test, and on a busy machine needs a while. */
    private static final int MOST_ROUNDS = 200;
    private static final int MANY = 10_000;

    private static List<Parameter> parameters(Arena arena, int count, int size) {
        Tensor all = Tensor.zeros(arena, DType.FLOAT32, 2L * count * size);
        return IntStream.range(0, count).mapToObj(i -> Parameter.of("p" + i, all.slice(2L * i * size, size))
                .gradient(all.slice((2L * i + 1) * size, size))).toList();
    }

    private static long allocated(TrainingStep step, int steps, int rounds) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long least = Long.MAX_VALUE;
        for (int round = 0; round < rounds && least >= steps; round++) {
            long before = threads.getCurrentThreadAllocatedBytes();
            for (int i = 0; i < steps; i++) {
                step.step();
            }
            least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
        }
        return least / steps;
    }

    @Test
    void aWarmStepWithEverythingAllocatesNothingOnTheJavaHeap() {
        Engine engine = TestEngines.cpu();
        try (Arena arena = Arena.ofShared()) {
            List<Parameter> parameters = parameters(arena, 5, 7);
            try (AdamW optimizer = new AdamW(engine, parameters, AdamW.Options.defaults());
                    GradScaler scaler = new GradScaler(engine);
                    AveragedModel average = new AveragedModel(engine, parameters, Averaging.getEmaMultiAvgFn(0.999));
                    TrainingStep step = TrainingStep.of(optimizer).clipGradNorm(1).scaler(scaler).average(average).zeroGrad()
                            .flushSubnormals().statistics().build()) {
                scaler.scale(1);
                assertEquals(0, allocated(step, 10_000, MOST_ROUNDS), "bytes per step");
            }
        }
    }

    /** Handles that run out, and a CPU cost that explodes: TransformerEngine#3418, pytorch#134191. */
    @Test
    void tenThousandTensorsAreSteppedInMillisecondsAndLeaveNoGarbage() {
        Engine engine = TestEngines.cpu();
        try (Arena arena = Arena.ofShared()) {
            List<Parameter> parameters = parameters(arena, MANY, 16);
            try (AdamW optimizer = new AdamW(engine, parameters, AdamW.Options.defaults());
                    AveragedModel average = new AveragedModel(engine, parameters, Averaging.getEmaMultiAvgFn(0.999));
                    TrainingStep step = TrainingStep.of(optimizer).clipGradNorm(1).average(average).zeroGrad().build()) {
                long start = System.nanoTime();
                for (int i = 0; i < 200; i++) {
                    step.step();
                }
                long each = (System.nanoTime() - start) / 200;
                assertTrue(each < Duration.ofMillis(50).toNanos(), each + " ns per step of " + MANY + " tensors");
                assertTrue(allocated(step, 200, 10) < MANY, "less than a byte for each tensor");
            }
        }
    }
}
