package io.panoptim.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.TestEngines;
import io.panoptim.optim.SGD;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class LRSchedulerTest {
    private final Arena arena = Arena.ofShared();
    private final SGD optimizer = new SGD(TestEngines.reference(), List.of(parameter()), SGD.Options.defaults().withLr(0.1));

    @AfterEach
    void close() {
        optimizer.close();
        arena.close();
    }

    private Parameter parameter() {
        return Parameter.of(Tensor.zeros(arena, DType.FLOAT32, 1)).gradient(Tensor.zeros(arena, DType.FLOAT32, 1));
    }

    private double after(LRScheduler scheduler, int epochs) {
        for (int i = 0; i < epochs; i++) {
            optimizer.step();
            scheduler.step();
        }
        return optimizer.paramGroups().getFirst().lr();
    }

    @Test
    void stepLrMultipliesStepByStepAsTorchDoes() {
        StepLR scheduler = new StepLR(optimizer, 3, 0.7);
        assertEquals(0.1, after(scheduler, 2));
        assertEquals(0.1 * 0.7, after(scheduler, 1));
        assertEquals(0.1 * 0.7 * 0.7, after(scheduler, 5));
        assertEquals(8, scheduler.lastEpoch());
        assertEquals(List.of(0.1 * 0.7 * 0.7), scheduler.lastLr());
        assertEquals(0.1 * 0.7, scheduler.closedForm(5, 0));
        assertEquals(0.1, new StepLR(optimizer, 3).closedForm(2, 0));
    }

    @Test
    void multiStepLrCountsAMilestoneAsOftenAsItIsGiven() {
        MultiStepLR scheduler = new MultiStepLR(optimizer, new long[] {4, 2, 4}, 0.5);
        assertEquals(0.1, after(scheduler, 1));
        assertEquals(0.05, after(scheduler, 1));
        assertEquals(0.05, after(scheduler, 1));
        assertEquals(0.05 * 0.25, after(scheduler, 1));
        assertEquals(0.1 * 0.125, scheduler.closedForm(9, 0));
    }

    @Test
    void lambdaLrTakesAFunctionOrOneForEachGroup() {
        LambdaLR scheduler = new LambdaLR(optimizer, epoch -> 1.0 / (epoch + 1));
        assertEquals(0.1, optimizer.paramGroups().getFirst().lr());
        assertEquals(0.1 / 4, after(scheduler, 3));
        PanoptimException refusal = assertThrows(PanoptimException.class,
                () -> new LambdaLR(optimizer, List.of(epoch -> 1, epoch -> 2)));
        assertTrue(refusal.getMessage().contains("Expected 1 lr_lambdas, but got 2"));
    }

    @Test
    void aRefusedSchedulerLeavesNoTrace() {
        assertThrows(PanoptimException.class, () -> new StepLR(optimizer, 0));
        optimizer.paramGroups().getFirst().lr(0.5);
        assertEquals(0.5, after(new LambdaLR(optimizer, epoch -> 1), 1));
        LambdaLR failing = new LambdaLR(optimizer, epoch -> epoch == 1 ? Double.NaN : 2);
        assertThrows(PanoptimException.class, failing::step);
        assertEquals(0, failing.lastEpoch());
        assertEquals(1.0, optimizer.paramGroups().getFirst().lr());
        optimizer.paramGroups().getFirst().lr(7);
        assertEquals(List.of(1.0), failing.lastLr());
    }

    @Test
    void schedulersChainAndStartFromTheSameInitialRate() {
        StepLR first = new StepLR(optimizer, 1, 0.5);
        after(first, 1);
        MultiStepLR second = new MultiStepLR(optimizer, new long[] {1}, 0.1);
        assertEquals(0.1, second.closedForm(0, 0));
        assertEquals(0.05 * 0.1, after(second, 1));
    }

    /** torch's way out for a scheduler whose count of steps was lost. */
    @Test
    void aCosineThatWasNeverSteppedBeginsByItsClosedForm() {
        CosineAnnealingLR scheduler = new CosineAnnealingLR(optimizer, 10);
        Map<String, @Nullable Object> state = scheduler.stateDict();
        state.put("_step_count", 0L);
        state.put("last_epoch", 5L);
        scheduler.loadStateDict(state);
        optimizer.paramGroups().getFirst().lr(7);
        assertEquals(scheduler.closedForm(6, 0), after(scheduler, 1));
    }

    @Test
    void groupsAddedLaterAndStepsOfNoLengthAreRefused() {
        StepLR scheduler = new StepLR(optimizer, 1);
        optimizer.addParamGroup(List.of(parameter()), SGD.Options.defaults());
        PanoptimException refusal = assertThrows(PanoptimException.class, scheduler::step);
        assertTrue(refusal.getMessage().contains("the optimizer has 2 groups, but had 1"), refusal.getMessage());
    }
}
