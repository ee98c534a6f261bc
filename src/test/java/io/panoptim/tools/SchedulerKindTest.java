package io.panoptim.tools;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.TestEngines;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.SGD;
import io.panoptim.schedule.LRScheduler;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SchedulerKindTest {
    private final Arena arena = Arena.ofConfined();
    private final Optimizer optimizer = OptimizerKind.named("SGD", message -> PanoptimException.invalid("test", message))
            .create(TestEngines.reference(), List.of(Parameter.of(Tensor.of(arena, new float[] {1}))),
                    Map.of("lr", 8, "momentum", 0.5));

    @AfterEach
    void close() {
        optimizer.close();
        arena.close();
    }

    @Test
    void theOptimizerHasTheOptionsAndTorchsDefaults() {
        assertTrue(optimizer instanceof SGD);
        assertEquals(8.0, optimizer.paramGroups().getFirst().get("lr"));
        assertEquals(0.5, optimizer.paramGroups().getFirst().get("momentum"));
        assertEquals(0.0, optimizer.paramGroups().getFirst().get("dampening"));
    }

    @Test
    void keysAreTorchs() {
        assertEquals(List.of(8.0, 8.0, 4.0, 4.0), lrs("StepLR:step_size=2,gamma=0.5"));
    }

    @Test
    void aMissingKeyHasTorchsDefault() {
        assertEquals(List.of(8.0, 8.0, 8.0, 8 * 0.1), lrs("StepLR: step_size = 3"));
    }

    @Test
    void aListIsWrittenWithPlus() {
        assertEquals(List.of(8.0, 4.0, 4.0, 2.0), lrs("MultiStepLR:milestones=1+3,gamma=0.5"));
    }

    @Test
    void aListOfOneNeedsNoPlus() {
        assertEquals(List.of(8.0, 8.0, 4.0, 4.0), lrs("MultiStepLR:milestones=2,gamma=0.5"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"0.5", ".5", "+.5", "50.e-2", "5e-1", "0.05e+1"})
    void aNumberIsWrittenAsAnywhere(String half) {
        assertEquals(List.of(8.0, 4.0, 2.0, 1.0), lrs("StepLR:step_size=1,gamma=" + half));
    }

    private List<Double> lrs(String text) {
        LRScheduler scheduler = SchedulerKind.attach(optimizer, JsonKeys.parse("--scheduler", text));
        List<Double> lrs = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            lrs.add(scheduler.lastLr().getFirst());
            optimizer.step();
            scheduler.step();
        }
        return lrs;
    }
}
