package io.panoptim.schedule;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.TestEngines;
import io.panoptim.optim.Adagrad;
import io.panoptim.optim.SGD;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What is wrong is refused, in torch's words where torch has some, and before anything has changed. */
class SchedulerMisuseTest {
    private static final Logger LOGGER = Logger.getLogger(LRScheduler.class.getName());

    private final Arena arena = Arena.ofConfined();
    private final SGD optimizer = new SGD(TestEngines.reference(), List.of(parameter()), options(0.1));
    private final List<String> warnings = new ArrayList<>();
    private final Handler handler = new Handler() {
        @Override
        public void publish(LogRecord logged) {
            warnings.add(logged.getMessage());
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };

    SchedulerMisuseTest() {
        optimizer.addParamGroup(List.of(parameter()), options(0.01));
    }

    private static SGD.Options options(double lr) {
        return SGD.Options.defaults().withLr(lr).withMomentum(0.5);
    }

    private Parameter parameter() {
        return Parameter.of(Tensor.zeros(arena, DType.FLOAT32, 1)).gradient(Tensor.zeros(arena, DType.FLOAT32, 1));
    }

    @BeforeEach
    void listen() {
        LOGGER.addHandler(handler);
        LOGGER.setUseParentHandlers(false);
    }

    @AfterEach
    void close() {
        LOGGER.removeHandler(handler);
        LOGGER.setUseParentHandlers(true);
        optimizer.close();
        arena.close();
    }

    private static void assertRefused(String message, Executable misuse) {
        PanoptimException refusal = assertThrows(PanoptimException.class, misuse);
        assertTrue(refusal.getMessage().contains(message), refusal::getMessage);
    }

    private List<Double> lrs() {
        return optimizer.paramGroups().stream().map(group -> group.lr()).toList();
    }

    record Wrong(String message, java.util.function.Consumer<SGD> make) {}

    static Stream<Named<Wrong>> wrong() {
        return Stream.of(
                new Wrong("Expected 2 lr_lambdas, but got 1", sgd -> new LambdaLR(sgd, List.of(epoch -> 1))),
                new Wrong("Expected 2 lr_lambdas, but got 3",
                        sgd -> new MultiplicativeLR(sgd, List.of(epoch -> 1, epoch -> 1, epoch -> 1))),
                new Wrong("Invalid step_size: 0, at least 1 is needed", sgd -> new StepLR(sgd, 0)),
                new Wrong("Constant multiplicative factor expected to be between 0 and 1.", sgd -> new ConstantLR(sgd, 1.1, 5)),
                new Wrong("Constant multiplicative factor expected to be between 0 and 1.", sgd -> new ConstantLR(sgd, Double.NaN, 5)),
                new Wrong("Starting multiplicative factor expected to be greater than 0 and less or equal to 1.",
                        sgd -> new LinearLR(sgd, 0, 1, 5)),
                new Wrong("Ending multiplicative factor expected to be between 0 and 1.", sgd -> new LinearLR(sgd, 1, 2, 5)),
                new Wrong("Invalid total_iters: -1", sgd -> new LinearLR(sgd, 1, 1, -1)),
                new Wrong("Invalid total_iters: -1", sgd -> new PolynomialLR(sgd, -1, 1)),
                new Wrong("Invalid power: -1.0", sgd -> new PolynomialLR(sgd, 5, -1)),
                new Wrong("Invalid T_max: 0", sgd -> new CosineAnnealingLR(sgd, 0)),
                new Wrong("Expected positive integer T_0, but got 0", sgd -> new CosineAnnealingWarmRestarts(sgd, 0)),
                new Wrong("Expected integer T_mult >= 1, but got 0", sgd -> new CosineAnnealingWarmRestarts(sgd, 5, 0, 0)),
                new Wrong("base_lr must have the same length as optimizer.param_groups. base_lr has 3 values, param_groups has 2.",
                        sgd -> new CyclicLR(sgd, CyclicLR.Options.of(0, 1).withLrs(List.of(1.0, 2.0, 3.0), List.of(1.0)))),
                new Wrong("Invalid step_size_up: 0.0", sgd -> new CyclicLR(sgd, CyclicLR.Options.of(0, 1).withStepSizes(0, 1))),
                new Wrong("Invalid step_size_down: -1.0", sgd -> new CyclicLR(sgd, CyclicLR.Options.of(0, 1).withStepSizes(1, -1))),
                new Wrong("Invalid max_lr: Infinity", sgd -> new CyclicLR(sgd, CyclicLR.Options.of(0, Double.POSITIVE_INFINITY))),
                new Wrong("max_lr must have the same length as optimizer.param_groups. max_lr has 3 values, param_groups has 2.",
                        sgd -> new OneCycleLR(sgd, OneCycleLR.Options.of(1, 10).withMaxLrs(List.of(1.0, 2.0, 3.0)))),
                new Wrong("base_momentum must have the same length", sgd -> new OneCycleLR(sgd,
                        OneCycleLR.Options.of(1, 10).withMomentums(List.of(1.0, 2.0, 3.0), List.of(1.0)))),
                new Wrong("Expected positive integer total_steps, but got 0", sgd -> OneCycleLR.Options.of(1, 0)),
                new Wrong("Expected positive integer epochs, but got 0", sgd -> OneCycleLR.Options.of(1, 0, 5)),
                new Wrong("Expected positive integer steps_per_epoch, but got -5", sgd -> OneCycleLR.Options.of(1, 5, -5)),
                new Wrong("Expected float between 0 and 1 pct_start, but got 1.5",
                        sgd -> OneCycleLR.Options.of(1, 10).withPctStart(1.5)),
                new Wrong("float division by zero: pct_start * total_steps is 1",
                        sgd -> OneCycleLR.Options.of(1, 10).withPctStart(0.1)),
                new Wrong("momentum is cycled with the learning rate only: set cycle_momentum to false to schedule 'weight_decay'",
                        sgd -> new OneCycleLR(sgd.hyperparameter("weight_decay"), OneCycleLR.Options.of(1, 10))),
                new Wrong("swa_lr must have the same length", sgd -> new SWALR(sgd, List.of(1.0, 2.0, 3.0), 5, AnnealStrategy.COS)),
                new Wrong("anneal_epochs must be equal or greater than 0, got -1",
                        sgd -> new SWALR(sgd, List.of(1.0), -1, AnnealStrategy.COS)),
                new Wrong("Factor should be < 1.0.", sgd -> ReduceLROnPlateau.Options.defaults().withFactor(1)),
                new Wrong("expected 2 min_lrs, got 3",
                        sgd -> new ReduceLROnPlateau(sgd, ReduceLROnPlateau.Options.defaults().withMinLr(1, 2, 3))),
                new Wrong("Factor should be < 1.0.", sgd -> GreedyLR.Options.defaults().withFactor(1)),
                new Wrong("Factor should be > 0.0.", sgd -> GreedyLR.Options.defaults().withFactor(0)),
                new Wrong("Invalid window_size: 0", sgd -> GreedyLR.Options.defaults().withWindow(0)),
                new Wrong("expected 2 max_lrs, got 3", sgd -> new GreedyLR(sgd,
                        GreedyLR.Options.defaults().withBounds(List.of(1.0), List.of(1.0, 2.0, 3.0)))),
                new Wrong("Invalid T_max: 0", sgd -> new TanhLR(sgd, 0)),
                new Wrong("lb (3.0) must be less than ub (3.0)", sgd -> new TanhLR(sgd, 5, 3, 3, 0)),
                new Wrong("Invalid total_iters: 0", sgd -> new RexLR(sgd, 0)),
                new Wrong("lr_end (1.0) must be smaller than initial lr (0.5)", sgd -> Factors.polynomial(1, 5, 0.5, 1, 1)),
                new Wrong("expected more than 5 steps in all", sgd -> Factors.polynomial(5, 5, 1, 0, 1)),
                new Wrong("expected at least 0 warm-up steps, and no fewer steps in all, but got 5 of 4", sgd -> Factors.linear(5, 4)),
                new Wrong("Invalid timescale: 0", sgd -> Factors.inverseSqrt(5, 0)),
                new Wrong("expected at least one factor", sgd -> Factors.table()),
                new Wrong("param 'initial_lr' is not specified in param_groups[0] when resuming scheduler with last_epoch >= 0",
                        sgd -> new ExponentialLR(sgd.hyperparameter("lr").withLastEpoch(3), 0.5)),
                new Wrong("unknown option 'rho': it has [lr, ", sgd -> sgd.hyperparameter("rho")),
                new Wrong("'nesterov' is a flag: only numbers can be scheduled", sgd -> sgd.hyperparameter("nesterov")),
                new Wrong("no number 'lr[1]': 'lr' has one, 'lr'", sgd -> sgd.hyperparameter("lr[1]")),
                new Wrong("no group 2: the optimizer has 2", sgd -> sgd.hyperparameter("lr").ofGroups(0, 2)),
                new Wrong("expected at least one group, each once, but got [1, 1]", sgd -> sgd.hyperparameter("lr").ofGroups(1, 1)),
                new Wrong("Invalid lr value: NaN",
                        sgd -> sgd.hyperparameter("lr").set(sgd.paramGroups().getFirst(), Double.NaN)),
                new Wrong("SequentialLR expects at least one scheduler, but got no scheduler.", sgd -> new SequentialLR(sgd, List.of())),
                new Wrong("ChainedScheduler expects at least one scheduler to be chained, but got no scheduler.",
                        sgd -> new ChainedScheduler(List.of()))
        ).map(wrong -> Named.of(wrong.message, wrong));
    }

    @ParameterizedTest
    @MethodSource("wrong")
    void aWrongArgumentIsRefusedAndLeavesNoTrace(Wrong wrong) {
        String before = optimizer.toString();
        assertRefused(wrong.message, () -> wrong.make.accept(optimizer));
        assertEquals(before, optimizer.toString());
    }

    @Test
    void aSchedulerBeforeTheOptimizerIsWarnedOfOnce() {
        StepLR scheduler = new StepLR(optimizer, 5);
        scheduler.step();
        scheduler.step();
        assertEquals(1, warnings.size());
        assertTrue(warnings.getFirst().startsWith("Detected call of `lr_scheduler.step()` before `optimizer.step()`."));
    }

    @Test
    void everyKindOfSchedulerWarns() {
        new CosineAnnealingWarmRestarts(optimizer, 5).step();
        new WarmupLR(new StepLR(optimizer, 5), 3).step();
        new ChainedScheduler(List.of(new StepLR(optimizer, 5))).step();
        new SequentialLR(optimizer, List.of(new StepLR(optimizer, 5))).step();
        assertEquals(4, warnings.size());
    }

    @Test
    void theRightOrderIsNotWarnedOf() {
        List<LRScheduler> schedulers = List.of(new StepLR(optimizer, 5), new CosineAnnealingWarmRestarts(optimizer, 5),
                new WarmupLR(new StepLR(optimizer, 5), 1), new SequentialLR(optimizer, List.of(new LinearLR(optimizer),
                        new StepLR(optimizer, 5)), 2));
        for (int i = 0; i < 5; i++) {
            optimizer.step();
            schedulers.forEach(LRScheduler::step);
        }
        assertEquals(List.of(), warnings);
    }

    @Test
    void groupsAddedLaterAreRefusedByEveryScheduler() {
        List<LRScheduler> schedulers = List.of(new StepLR(optimizer, 1), new WarmupLR(new StepLR(optimizer, 1), 2),
                new SequentialLR(optimizer, List.of(new StepLR(optimizer, 1))), new ChainedScheduler(List.of(new StepLR(optimizer, 1))),
                new CosineAnnealingWarmRestarts(optimizer, 3), new GreedyLR(optimizer),
                new OneCycleLR(optimizer, OneCycleLR.Options.of(1, 10)));
        optimizer.addParamGroup(List.of(parameter()), options(1));
        optimizer.step();
        for (LRScheduler scheduler : schedulers) {
            Map<String, @Nullable Object> before = scheduler.stateDict();
            List<Double> lrs = lrs();
            assertRefused("the optimizer has 3 groups, but had 2 when the scheduler was made: make it after adding groups",
                    () -> scheduler.stepWithMetric(1));
            assertEquals(before, scheduler.stateDict());
            assertEquals(lrs, lrs());
        }
        new StepLR(optimizer.hyperparameter("lr").ofGroups(0, 1), 1);
    }

    @Test
    void aPlateauTakesGroupsAddedLaterUnlessItHasBoundsForEach() {
        ReduceLROnPlateau.Options quick = ReduceLROnPlateau.Options.defaults().withPatience(0).withFactor(0.5);
        ReduceLROnPlateau one = new ReduceLROnPlateau(optimizer, quick.withMinLr(0.02));
        ReduceLROnPlateau each = new ReduceLROnPlateau(optimizer, quick.withMinLr(0, 0));
        optimizer.addParamGroup(List.of(parameter()), options(1));
        one.step(1);
        one.step(1);
        assertEquals(List.of(0.05, 0.01, 0.5), lrs());
        assertEquals(lrs(), one.lastLr());
        each.step(1);
        Map<String, @Nullable Object> before = each.stateDict();
        assertRefused("The number of param groups in the `optimizer` (3) differs from when `ReduceLROnPlateau` was initialized (2)",
                () -> each.step(1));
        assertEquals(before, each.stateDict());
    }

    @Test
    void aPlateauNeedsAMetric() {
        for (LRScheduler scheduler : List.of(new ReduceLROnPlateau(optimizer), new WarmupLR(new ReduceLROnPlateau(optimizer), 5))) {
            assertRefused("step() missing 1 required positional argument: 'metrics'", scheduler::step);
            assertTrue(scheduler.needsMetric());
            assertDoesNotThrow(() -> scheduler.stepWithMetric(1));
        }
        assertFalse(new StepLR(optimizer, 1).needsMetric());
        assertRefused("there is no closed form", () -> new ReduceLROnPlateau(optimizer).closedForm(1, 0));
    }

    @Test
    void aCycleEndsOneStepAfterItsLast() {
        OneCycleLR scheduler = new OneCycleLR(optimizer, OneCycleLR.Options.of(1, 4));
        optimizer.step();
        for (int i = 0; i < 4; i++) {
            scheduler.step();
        }
        String before = optimizer.toString();
        Map<String, @Nullable Object> state = scheduler.stateDict();
        assertRefused("Tried to step 5 times. The specified number of total steps is 4", scheduler::step);
        assertEquals(before, optimizer.toString());
        assertEquals(state, scheduler.stateDict());
    }

    @Test
    void aFactorOfZeroCannotBeTakenBack() {
        ConstantLR scheduler = new ConstantLR(optimizer, 0, 2);
        optimizer.step();
        scheduler.step();
        assertRefused("float division by zero", scheduler::step);
        assertEquals(1, scheduler.lastEpoch());
        assertEquals(List.of(0.0, 0.0), lrs());
    }

    @Test
    void compositesTakeTheirPartsOfOneOptimizer() {
        try (SGD other = new SGD(TestEngines.reference(), List.of(parameter()), options(1))) {
            List<LRScheduler> mixed = List.of(new StepLR(optimizer, 1), new StepLR(other, 1));
            assertRefused("SequentialLR expects all schedulers to belong to the same optimizer, but got scheduler StepLR at index 1",
                    () -> new SequentialLR(optimizer, mixed, 3));
            assertRefused("ChainedScheduler expects all schedulers to belong to the same optimizer, but got scheduler StepLR at index 1",
                    () -> new ChainedScheduler(mixed));
            assertRefused("at index 0 has lr of SGD, which is different from momentum of SGD",
                    () -> new SequentialLR(optimizer.hyperparameter("momentum"), List.of(new StepLR(optimizer, 1))));
            List<LRScheduler> plateau = List.of(new StepLR(optimizer, 1), new ReduceLROnPlateau(optimizer));
            assertRefused("does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs",
                    () -> new SequentialLR(optimizer, plateau, 3));
            assertRefused("but got one at index 1 in the given schedulers sequence.", () -> new ChainedScheduler(plateau));
            assertRefused("got number of schedulers 1 and the number of milestones to be equal to 2",
                    () -> new SequentialLR(optimizer, List.of(new StepLR(optimizer, 1)), 1, 2));
            assertRefused("Invalid milestones: [5, 2], they must ascend", () -> new SequentialLR(optimizer,
                    List.of(new StepLR(optimizer, 1), new StepLR(optimizer, 1), new StepLR(optimizer, 1)), 5, 2));
        }
    }

    @Test
    void momentumIsCycledWhereThereIsAny() {
        try (Adagrad adagrad = new Adagrad(TestEngines.reference(), List.of(parameter()), Adagrad.Options.defaults())) {
            String before = adagrad.toString();
            assertRefused("optimizer must support momentum or beta1 with `cycle_momentum` option enabled",
                    () -> new CyclicLR(adagrad, CyclicLR.Options.of(0.1, 1)));
            assertEquals(before, adagrad.toString());
            new CyclicLR(adagrad, CyclicLR.Options.of(0.1, 1).withCycleMomentum(false));
        }
    }

    @Test
    void aStateThatDoesNotFitIsRefusedAndChangesNothing() {
        SequentialLR scheduler = new SequentialLR(optimizer, List.of(new LinearLR(optimizer), new StepLR(optimizer, 3)), 4);
        Map<String, @Nullable Object> before = scheduler.stateDict();
        refuseState(scheduler, before, "gamma", 1.0, "unknown key 'gamma': expected [");
        refuseState(scheduler, before, "_milestones", List.of(1L, 2L), "'_milestones': expected 1, found 2");
        refuseState(scheduler, before, "_milestones", 4L, "'_milestones': expected a list of integers, found 4");
        refuseState(scheduler, before, "last_epoch", "x", "'last_epoch': expected an integer, found x");
        refuseState(scheduler, before, "_last_lr", List.of(1.0), "expected 2 numbers, one for each group, found 1");
        refuseState(scheduler, before, "_schedulers", List.of(Map.of()), "expected a list of 2 states, found [{}]");
        refuseState(scheduler, before, "_schedulers", List.of(Map.of("start_factor", 0.5), Map.of("step_size", 0)),
                "Invalid step_size: 0");
        ReduceLROnPlateau plateau = new ReduceLROnPlateau(optimizer);
        refuseState(plateau, plateau.stateDict(), "mode", "most", "'mode': expected one of [min, max], found most");
        refuseState(plateau, plateau.stateDict(), "factor", 2, "Factor should be < 1.0.");
        MultiStepLR steps = new MultiStepLR(optimizer, 3, 4);
        refuseState(steps, steps.stateDict(), "milestones", Map.of("x", 1), "'milestones': expected a map from epochs");
        OneCycleLR cycle = new OneCycleLR(optimizer, OneCycleLR.Options.of(1, 10));
        refuseState(cycle, cycle.stateDict(), "cycle_momentum", false, "expected true, as this scheduler was made");
        refuseState(cycle, cycle.stateDict(), "_schedule_phases", List.of(Map.of()), "expected a list of phases");
    }

    private static void refuseState(LRScheduler scheduler, Map<String, @Nullable Object> before, String key, Object value,
                                    String message) {
        Map<String, @Nullable Object> wrong = new HashMap<>(before);
        wrong.put(key, value);
        assertRefused(message, () -> scheduler.loadStateDict(wrong));
        assertEquals(before, scheduler.stateDict());
    }
}
