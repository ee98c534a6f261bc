package io.panoptim.tools;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
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

    @Test
    void functionsAreListsOfFactors() {
        assertEquals(List.of(8.0, 4.0, 2.0, 2.0), lrs("LambdaLR:lr_lambda=1+0.5+0.25"));
        assertEquals(List.of(8.0, 4.0, 2.0, 1.0), lrs("MultiplicativeLR:lr_lambda=0.5"));
        assertEquals(List.of(4.0, 8.0, 8.0, 8.0), lrs("{\"name\": \"LambdaLR\", \"lr_lambda\": [[0.5, 1]]}"));
        assertRefused("--scheduler.lr_lambda[1]: expected a list, found 2",
                "{\"name\": \"LambdaLR\", \"lr_lambda\": [[0.5, 1], 2]}");
        assertRefused("--scheduler: LambdaLR: Expected 1 lr_lambdas, but got 2",
                "{\"name\": \"LambdaLR\", \"lr_lambda\": [[0.5, 1], [2]]}");
    }

    @Test
    void schedulersNest() {
        assertEquals(List.of(0.0, 4.0, 8.0, 2.0), lrs("""
                {"name": "WarmupLR", "warmup_steps": 2, "scheduler": {"name": "ChainedScheduler", "schedulers": [
                    {"name": "ExponentialLR", "gamma": 0.5}, {"name": "SequentialLR", "milestones": [2], "schedulers": [
                        {"name": "StepLR", "step_size": 1, "gamma": 0.5}, {"name": "ExponentialLR", "gamma": 0.1}]}]}}"""));
    }

    @Test
    void anotherHyperparameterIsNamedAsInTimm() {
        LRScheduler scheduler = SchedulerKind.attach(optimizer, JsonKeys.parse("--scheduler",
                "ExponentialLR:gamma=0.5,param_group_field=momentum"));
        optimizer.step();
        scheduler.step();
        assertEquals(0.25, optimizer.paramGroups().getFirst().get("momentum"));
        assertEquals(8.0, optimizer.paramGroups().getFirst().lr());
    }

    @Test
    void nullsThatTorchHasByDefaultAreTaken() {
        assertEquals(4, lrs("""
                {"name": "OneCycleLR", "max_lr": 1, "total_steps": 9, "epochs": null, "steps_per_epoch": null}""").size());
        assertEquals(4, lrs("""
                {"name": "CyclicLR", "base_lr": 1, "max_lr": 2, "step_size_down": null, "scale_fn": null, "scale_mode": "cycle"}""")
                .size());
        assertRefused("--scheduler.scale_fn: expected null: JSON has no functions", "CyclicLR:base_lr=1,max_lr=2,scale_fn=x");
    }

    @Test
    void whatTransformersRefusesIsRefused() {
        assertRefused("--scheduler: Only one of min_lr or min_lr_rate should be set",
                "cosine_with_min_lr:num_warmup_steps=1,num_training_steps=9,min_lr=1,min_lr_rate=1");
        assertRefused("--scheduler: One of min_lr or min_lr_rate should be set",
                "cosine_with_min_lr:num_warmup_steps=1,num_training_steps=9");
        assertRefused("--scheduler: Either num_training_steps or num_stable_steps must be specified.",
                "warmup_stable_decay:num_warmup_steps=1,num_decay_steps=9");
        assertRefused("--scheduler: 'num_warmup_steps' is missing", "linear:num_training_steps=9");
        assertRefused("--scheduler.decay_type: expected one of [linear, cosine, 1-sqrt], found \"exponential\"",
                "warmup_stable_decay:num_warmup_steps=1,num_decay_steps=9,num_stable_steps=1,decay_type=exponential");
        assertRefused("--scheduler: Factors.polynomial: lr_end (9.0) must be smaller than initial lr (8.0)",
                "polynomial:num_warmup_steps=1,num_training_steps=9,lr_end=9");
        assertRefused("--scheduler.last_epoch: expected -1", "constant:last_epoch=1");
    }

    private void assertRefused(String message, String text) {
        PanoptimException refusal = assertThrows(PanoptimException.class,
                () -> SchedulerKind.attach(optimizer, JsonKeys.parse("--scheduler", text)));
        assertTrue(refusal.getMessage().startsWith(message), refusal::getMessage);
    }

    private List<Double> lrs(String text) {
        LRScheduler scheduler = SchedulerKind.attach(optimizer, JsonKeys.parse("--scheduler", text));
        List<Double> lrs = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            lrs.add(scheduler.lastLr().getFirst());
            optimizer.step();
            scheduler.step();
        }
        optimizer.paramGroups().getFirst().lr(8);
        return lrs;
    }
}
