package io.panoptim.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.sun.management.ThreadMXBean;
import io.panoptim.TestEngines;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class AllocationTest {
    private static final int STEPS = 10_000;
    /** The compiler works beside the test, and on a busy machine needs a while. */
    private static final int MOST_ROUNDS = 200;

    @Test
    void aWarmStepAllocatesNothingOnTheJavaHeap() {
        try (Arena arena = Arena.ofShared()) {
            List<Parameter> parameters = IntStream.range(0, 5).mapToObj(i -> Parameter
                    .of("p" + i, Tensor.zeros(arena, DType.FLOAT32, 3 + i)).gradient(Tensor.zeros(arena, DType.FLOAT32, 3 + i)))
                    .toList();
            try (AdamW optimizer = new AdamW(TestEngines.cpu(), parameters, AdamW.Options.defaults())) {
                ParamGroup group = optimizer.paramGroups().getFirst();
                ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
                long allocated = Long.MAX_VALUE;
                for (int round = 0; round < MOST_ROUNDS && allocated >= STEPS; round++) {
                    long before = threads.getCurrentThreadAllocatedBytes();
                    step(optimizer, group, STEPS);
                    allocated = threads.getCurrentThreadAllocatedBytes() - before;
                }
                assertEquals(0, allocated / STEPS, "bytes per step");
            }
        }
    }

    private static void step(Optimizer optimizer, ParamGroup group, int times) {
        for (int i = 0; i < times; i++) {
            group.lr(1e-3 / (i + 1));
            optimizer.step();
        }
    }
}
