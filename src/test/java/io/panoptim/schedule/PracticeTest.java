package io.panoptim.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import io.panoptim.TestEngines;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.Betas;
import io.panoptim.optim.Hyperparameter;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.DoubleUnaryOperator;
import java.util.function.LongToDoubleFunction;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What this library has and torch has not. */
class PracticeTest {
    private final Arena arena = Arena.ofConfined();
    private final AdamW optimizer = new AdamW(TestEngines.reference(), List.of(parameter()), AdamW.Options.defaults().withLr(8));
    private final ParamGroup group = optimizer.paramGroups().getFirst();

    @AfterEach
    void close() {
        optimizer.close();
        arena.close();
    }

    private Parameter parameter() {
        return Parameter.of(Tensor.zeros(arena, DType.FLOAT32, 1));
    }

    private List<Double> lrs(LRScheduler scheduler, int steps) {
        List<Double> lrs = new ArrayList<>(List.of(group.lr()));
        for (int i = 1; i < steps; i++) {
            optimizer.step();
            scheduler.stepWithMetric(1);
            lrs.add(group.lr());
            assertEquals(List.of(group.lr()), scheduler.lastLr());
        }
        return lrs;
    }

    @Test
    void aWarmUpStandsInFrontOfAnyScheduler() {
        assertEquals(List.of(0.0, 2.0, 4.0, 6.0, 8.0, 8.0, 4.0, 4.0, 2.0), lrs(new WarmupLR(new StepLR(optimizer, 2, 0.5), 4), 9));
    }

    @Test
    void aWarmUpStandsInFrontOfAPlateau() {
        ReduceLROnPlateau plateau = new ReduceLROnPlateau(optimizer, ReduceLROnPlateau.Options.defaults().withPatience(1)
                .withFactor(0.5));
        assertEquals(List.of(2.0, 5.0, 8.0, 8.0, 8.0, 4.0, 4.0, 2.0), lrs(new WarmupLR(plateau, 2, 0.25, Ramp.LINEAR), 8));
    }

    @Test
    void aWarmUpRisesToWhatASchedulerBeginsWith() {
        OneCycleLR cycle = new OneCycleLR(optimizer, OneCycleLR.Options.of(50, 100));
        assertEquals(List.of(0.0, 1.0, 2.0), lrs(new WarmupLR(cycle, 2), 3));
        assertEquals(0.95, optimizer.hyperparameter("betas[0]").get(group));
    }

    @Test
    void withoutStepsAWarmUpIsNone() {
        assertEquals(List.of(8.0, 4.0, 2.0), lrs(new WarmupLR(new ExponentialLR(optimizer, 0.5), 0), 3));
    }

    @ParameterizedTest
    @EnumSource
    void aRampGoesFromNothingToAllAndBack(Ramp ramp) {
        assertEquals(0, ramp.rise(0));
        assertEquals(1, ramp.rise(1), 1e-15);
        assertEquals(1, ramp.fall(0, 0.5));
        assertEquals(0, ramp.fall(1, 0.5), 1e-15);
    }

    @Test
    void aWarmUpGoesOnFromItsState() {
        WarmupLR first = new WarmupLR(new ExponentialLR(optimizer, 0.5), 3, 0.5, Ramp.COSINE);
        lrs(first, 3);
        Map<String, @Nullable Object> state = first.stateDict();
        double lr = group.lr();
        List<Double> expected = lrs(first, 5);

        group.lr(8);
        WarmupLR second = new WarmupLR(new ExponentialLR(optimizer, 0.1), 7);
        group.lr(lr);
        second.loadStateDict(state);
        assertEquals(state, second.stateDict());
        assertEquals(expected, lrs(second, 5));
    }

    @Test
    void aWarmUpIsPartOfASequence() {
        SequentialLR sequence = new SequentialLR(optimizer, List.of(new WarmupLR(new ExponentialLR(optimizer, 0.5), 2),
                new WarmupLR(new StepLR(optimizer, 1, 0.25), 1)), 4);
        assertEquals(List.of(0.0, 4.0, 8.0, 4.0, 0.0, 8.0, 2.0), lrs(sequence, 7));
        assertEquals(2.0, sequence.closedForm(6, 0));
        assertEquals(4.0, sequence.closedForm(3, 0));
    }

    /** torch refuses such a nesting. */
    @Test
    void compositesBeginAnewInALaterPlace() {
        ChainedScheduler chained = new ChainedScheduler(List.of(new ConstantLR(optimizer, 0.5, 2), new ExponentialLR(optimizer, 0.5)));
        SequentialLR inner = new SequentialLR(optimizer, List.of(new ConstantLR(optimizer, 0.25, 2), new StepLR(optimizer, 1, 0.5)), 2);
        SequentialLR outer = new SequentialLR(optimizer, List.of(new ConstantLR(optimizer, 1, 1), chained, inner), 2, 6);
        assertEquals(List.of(8.0, 8.0, 4.0, 2.0, 2.0, 1.0, 2.0, 2.0, 8.0, 4.0, 2.0), lrs(outer, 11));
        for (int epoch = 0; epoch < 11; epoch++) {
            assertEquals(List.of(8.0, 8.0, 4.0, 2.0, 2.0, 1.0, 2.0, 2.0, 8.0, 4.0, 2.0).get(epoch), outer.closedForm(epoch, 0));
        }
    }

    @Test
    void aSchedulerWaitsForASkippedOptimizerIfAsked() {
        StepLR scheduler = new StepLR(optimizer, 1, 0.5);
        scheduler.waitForOptimizer(true);
        scheduler.step();
        assertEquals(8, group.lr());
        optimizer.step();
        scheduler.step();
        scheduler.step();
        scheduler.stepWithMetric(1);
        assertEquals(4, group.lr());
        assertEquals(1, scheduler.lastEpoch());
        optimizer.step();
        optimizer.step();
        scheduler.step();
        assertEquals(2, group.lr());
        scheduler.waitForOptimizer(false);
        scheduler.step();
        assertEquals(1, group.lr());
    }

    @Test
    void anyNumberOfAnyGroupCanBeScheduled() {
        optimizer.addParamGroup(List.of(parameter()), AdamW.Options.defaults().withLr(1).withBetas(0.8, 0.9).withEps(1e-4));
        ParamGroup second = optimizer.paramGroups().get(1);
        second.independentWeightDecay(0.5);
        new ChainedScheduler(List.of(
                new ExponentialLR(optimizer, 0.5),
                new ExponentialLR(optimizer.hyperparameter("betas[1]"), 0.5),
                new LambdaLR(optimizer.hyperparameter("eps").ofGroups(1), epoch -> 1 + epoch),
                new ExponentialLR(optimizer.hyperparameter("weight_decay").ofGroups(0), 0.25),
                new StepLR(optimizer.hyperparameter("independent_weight_decay").ofGroups(1), 1, 0.1))).step();
        assertEquals(List.of(4.0, 0.5), List.of(group.lr(), second.lr()));
        assertEquals(new Betas(0.9, 0.999 * 0.5), group.get("betas"));
        assertEquals(new Betas(0.8, 0.9 * 0.5), second.get("betas"));
        assertEquals(List.of(1e-8, 2e-4), List.of(group.get("eps"), second.get("eps")));
        assertEquals(List.of(0.01 * 0.25, 0.01), List.of(group.get("weight_decay"), second.get("weight_decay")));
        assertEquals(List.of(0.0, 0.5 * 0.1), List.of(group.independentWeightDecay(), second.independentWeightDecay()));
        assertEquals(Map.of("initial_lr", 8.0, "initial_betas[1]", 0.999, "initial_weight_decay", 0.01), group.fields());
    }

    @Test
    void theOptimizerUsesWhatIsScheduled() {
        Parameter parameter = Parameter.of(Tensor.of(arena, new float[] {1})).gradient(Tensor.zeros(arena, DType.FLOAT32, 1));
        try (AdamW decaying = new AdamW(TestEngines.reference(), List.of(parameter), AdamW.Options.defaults().withLr(1)
                .withWeightDecay(0.5))) {
            StepLR scheduler = new StepLR(decaying.hyperparameter("weight_decay"), 1, 0.5);
            decaying.step();
            scheduler.step();
            assertEquals(0.5, parameter.value().get(0));
            decaying.step();
            assertEquals(0.375, parameter.value().get(0));
        }
    }

    /** As torch's callable objects, whose attributes are part of the state. */
    private static final class Counting implements LongToDoubleFunction, DoubleUnaryOperator, Stateful {
        private double scale = 1;

        @Override
        public double applyAsDouble(long epoch) {
            return scale;
        }

        @Override
        public double applyAsDouble(double cycle) {
            return scale / cycle;
        }

        @Override
        public Map<String, @Nullable Object> stateDict() {
            return Map.of("scale", scale);
        }

        @Override
        public void loadStateDict(Map<String, ? extends @Nullable Object> stateDict) {
            scale = (double) stateDict.get("scale");
        }
    }

    @Test
    void functionsThatHaveAStateArePartOfTheScheduler() {
        Counting counting = new Counting();
        counting.scale = 0.5;
        Map<String, @Nullable Object> state = new LambdaLR(optimizer, counting).stateDict();
        assertEquals(List.of(Map.of("scale", 0.5)), state.get("lr_lambdas"));
        Counting fresh = new Counting();
        LambdaLR second = new LambdaLR(optimizer, fresh);
        assertEquals(8, group.lr());
        second.loadStateDict(state);
        assertEquals(0.5, fresh.scale);
    }

    @Test
    void aCyclesHeightIsAnyFunctionsOf() {
        Counting half = new Counting();
        CyclicLR cyclic = new CyclicLR(optimizer, CyclicLR.Options.of(1, 9).withStepSizes(1, 1).withCycleMomentum(false)
                .withScaleFn(half, CyclicLR.ScaleMode.CYCLE));
        assertEquals(List.of(1.0, 9.0, 1.0, 5.0), lrs(cyclic, 4));
        assertEquals(Map.of("scale", 1.0), cyclic.stateDict().get("_scale_fn_custom"));
    }

    @Test
    void noamRisesAndFallsAsInTheFirstTransformers() {
        LongToDoubleFunction noam = Factors.noam(512, 4000);
        assertEquals(Math.pow(512, -0.5) * Math.pow(4000, -1.5), noam.applyAsDouble(0), 1e-20);
        assertEquals(noam.applyAsDouble(0), noam.applyAsDouble(1));
        assertEquals(7e-4, noam.applyAsDouble(4000), 2e-6);
        assertEquals(noam.applyAsDouble(4000) / 2, noam.applyAsDouble(16_000), 1e-18);
    }

    /** A scheduler of one's own. */
    @Test
    void anyoneCanMakeAScheduler() {
        class Halving extends EpochLR {
            private long halvings;

            Halving(Hyperparameter hyperparameter) {
                super(hyperparameter);
                start();
            }

            @Override
            protected void lrs(long epoch, double[] lrs) {
                halvings += isInitial() ? 0 : 1;
                for (int i = 0; i < lrs.length && !isInitial(); i++) {
                    lrs[i] /= 2;
                }
            }

            @Override
            public double closedForm(long epoch, int group) {
                return baseLr(group) / Math.scalb(1.0, (int) epoch);
            }

            @Override
            protected void state(SchedulerState state) {
                super.state(state);
                halvings = state.integer("halvings", halvings);
            }
        }

        Halving halving = new Halving(optimizer.hyperparameter("lr"));
        assertEquals(List.of(8.0, 4.0, 2.0), lrs(halving, 3));
        assertEquals(2.0, halving.closedForm(2, 0));
        assertEquals(2L, halving.stateDict().get("halvings"));
        assertNotEquals(8.0, group.lr());
    }
}
