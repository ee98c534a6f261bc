package io.panoptim.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.sun.management.ThreadMXBean;
import io.panoptim.TestEngines;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.Hyperparameter;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class SchedulerAllocationTest {
    private static final int STEPS = 10_000;
    /** The compiler works beside the test, and on a busy machine needs a while. */
    private static final int MOST_ROUNDS = 200;
    /** Longer than any test steps. */
    private static final long LONG = (MOST_ROUNDS + 1L) * STEPS;

    static Stream<Named<Function<AdamW, LRScheduler>>> schedulers() {
        return Stream.of(
                named("LambdaLR", adam -> new LambdaLR(adam, Factors.warmupStableDecay(LONG / 4, LONG / 4, LONG / 2))),
                named("MultiplicativeLR", adam -> new MultiplicativeLR(adam, epoch -> 0.9999)),
                named("StepLR", adam -> new StepLR(adam, 3, 0.999)),
                named("MultiStepLR", adam -> new MultiStepLR(adam, 100, 1000, 10_000)),
                named("ConstantLR", adam -> new ConstantLR(adam, 0.5, 100)),
                named("LinearLR", adam -> new LinearLR(adam, 0.1, 1, LONG)),
                named("ExponentialLR", adam -> new ExponentialLR(adam, 0.9999)),
                named("PolynomialLR", adam -> new PolynomialLR(adam, LONG, 0.9)),
                named("CosineAnnealingLR", adam -> new CosineAnnealingLR(adam, 1000)),
                named("CosineAnnealingWarmRestarts", adam -> new CosineAnnealingWarmRestarts(adam, 100, 2, 0)),
                named("CyclicLR", adam -> new CyclicLR(adam, CyclicLR.Options.of(1e-4, 1e-2).withMode(CyclicLR.Mode.TRIANGULAR2))),
                named("OneCycleLR", adam -> new OneCycleLR(adam, OneCycleLR.Options.of(1e-2, LONG))),
                named("SequentialLR", adam -> new SequentialLR(adam, List.of(new LinearLR(adam), new CosineAnnealingLR(adam, 50)), 20)),
                named("ChainedScheduler", adam -> new ChainedScheduler(List.of(new LinearLR(adam), new StepLR(adam, 5)))),
                named("SWALR", adam -> new SWALR(adam, 1e-4)),
                named("ReduceLROnPlateau", ReduceLROnPlateau::new),
                named("GreedyLR", adam -> new GreedyLR(adam, GreedyLR.Options.defaults().withWindow(20))),
                named("WarmupLR", adam -> new WarmupLR(new CosineAnnealingLR(adam, 100), 1000, 0.1, Ramp.COSINE)),
                named("TanhLR", adam -> new TanhLR(adam, LONG)),
                named("RexLR", adam -> new RexLR(adam, LONG)));
    }

    private static Named<Function<AdamW, LRScheduler>> named(String name, Function<AdamW, LRScheduler> make) {
        return Named.of(name, make);
    }

    @ParameterizedTest
    @MethodSource("schedulers")
    void aStepAllocatesNothing(Function<AdamW, LRScheduler> make) {
        assertNothingAllocated(make, (scheduler, step) -> scheduler.stepWithMetric(step % 97));
    }

    @Test
    void settingAnyNumberAllocatesNothing() {
        assertNothingAllocated(adam -> new StepLR(adam, 1), (scheduler, step) -> {
            Hyperparameter hyperparameter = scheduler.hyperparameter();
            ParamGroup group = hyperparameter.groups().getFirst();
            hyperparameter.set(group, hyperparameter.get(group) / 2 + step);
        });
    }

    interface Work {
        void step(LRScheduler scheduler, int step);
    }

    private static void assertNothingAllocated(Function<AdamW, LRScheduler> make, Work work) {
        try (Arena arena = Arena.ofConfined();
             AdamW optimizer = new AdamW(TestEngines.reference(), parameter(arena), AdamW.Options.defaults())) {
            optimizer.addParamGroup(parameter(arena), AdamW.Options.defaults().withLr(0.1));
            LRScheduler scheduler = make.apply(optimizer);
            optimizer.step();
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            long allocated = Long.MAX_VALUE;
            for (int round = 0; round < MOST_ROUNDS && allocated >= STEPS; round++) {
                long before = threads.getCurrentThreadAllocatedBytes();
                for (int step = 0; step < STEPS; step++) {
                    work.step(scheduler, step);
                }
                allocated = threads.getCurrentThreadAllocatedBytes() - before;
            }
            assertEquals(0, allocated / STEPS, "bytes per step");
        }
    }

    private static List<Parameter> parameter(Arena arena) {
        return List.of(Parameter.of(Tensor.zeros(arena, DType.FLOAT32, 1)));
    }
}
