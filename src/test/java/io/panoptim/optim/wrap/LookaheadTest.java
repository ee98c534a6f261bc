package io.panoptim.optim.wrap;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.optim.LBFGS;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.SGD;
import io.panoptim.optim.SGDScheduleFree;
import io.panoptim.optim.norm.Ranger;
import io.panoptim.schedule.StepLR;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** When slow weights start and follow, whose groups and states there are, and what is refused. */
@Tag("native")
class LookaheadTest {
    private static final SGD.Options SGD_OPTIONS = SGD.Options.defaults().withLr(1);

    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    private Tensor vector(double... values) {
        Tensor tensor = Tensor.zeros(arena, DType.FLOAT32, values.length);
        for (int i = 0; i < values.length; i++) {
            tensor.set(i, values[i]);
        }
        return tensor;
    }

    private Parameter parameter(String name, double value, double gradient) {
        return Parameter.of(name, vector(value)).gradient(vector(gradient));
    }

    private static Lookahead around(String engine, Lookahead.Options options, Parameter... parameters) {
        return new Lookahead(new SGD(TestEngines.named(engine), List.of(parameters), SGD_OPTIONS), options);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void slowWeightsStartAtTheirFirstTurnAndFollowFromTheSecondOn(String engine) {
        Parameter p = parameter("p", 0, 1);
        try (Lookahead lookahead = around(engine, new Lookahead.Options(0.25, 2), p)) {
            lookahead.step();
            assertEquals(Map.of(), lookahead.state(p));
            lookahead.step();
            assertEquals(-2, p.value().get(0), "a copy of it");
            assertEquals(-2, lookahead.state(p).get("lookahead_slow_buff").get(0));
            lookahead.step();
            assertEquals(-3, p.value().get(0));
            lookahead.step();
            assertEquals(-2.5, p.value().get(0), "a quarter of the way from -2 to -4");
            assertEquals(-2.5, lookahead.state(p).get("lookahead_slow_buff").get(0));
            assertEquals(Set.of("lookahead_slow_buff"), lookahead.state(p).keySet());
            assertEquals(8, lookahead.stateBytes() * 2);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aParameterWithoutGradientIsLeftOut(String engine) {
        Parameter always = parameter("always", 0, 1);
        Parameter sometimes = parameter("sometimes", 0, 1);
        Tensor gradient = sometimes.gradient();
        try (Lookahead lookahead = around(engine, new Lookahead.Options(0.5, 1), always, sometimes)) {
            lookahead.step();
            sometimes.gradient(null);
            sometimes.value().set(0, 8);
            lookahead.step();
            assertEquals(8, sometimes.value().get(0));
            sometimes.gradient(gradient);
            lookahead.step();
            assertEquals(3, sometimes.value().get(0), "half of the way from -1 to 7");
            assertEquals(-2, always.value().get(0));
        }
    }

    @Test
    void theGroupsAreTheWrappedOptimizersAndMayBecomeMore() {
        Parameter first = parameter("first", 0, 1);
        Parameter second = parameter("second", 0, 1);
        SGD sgd = new SGD(TestEngines.reference(), List.of(first), SGD_OPTIONS);
        Lookahead lookahead = new Lookahead(sgd, new Lookahead.Options(0.5, 2));
        assertEquals(sgd.paramGroups(), lookahead.paramGroups());
        StepLR scheduler = new StepLR(lookahead, 1, 0.5);
        lookahead.step();
        scheduler.step();
        assertEquals(0.5, sgd.paramGroups().getFirst().lr());
        sgd.addParamGroup(List.of(second), SGD_OPTIONS);
        assertEquals(2, lookahead.paramGroups().size());
        lookahead.step();
        lookahead.step();
        assertEquals(Map.of(), sgd.state(second));
        assertEquals(-2, lookahead.state(second).get("lookahead_slow_buff").get(0), "a group counts from its first step on");
        assertSame(sgd.engine(), lookahead.engine());
        lookahead.zeroGrad();
        assertEquals(null, second.gradient());
        assertTrue(lookahead.toString().startsWith("Lookahead (\nParameter Group 0\n"), lookahead.toString());
        lookahead.close();
        lookahead.close();
        refused(Code.CLOSED, "the optimizer is closed", lookahead::step);
        refused(Code.CLOSED, "the optimizer is closed", sgd::step);
    }

    @Test
    void aWrappedOptimizerEvaluatesItsClosureAsOftenAsItLikes() {
        Parameter p = parameter("p", 4, 0);
        LBFGS lbfgs = new LBFGS(TestEngines.reference(), List.of(p), LBFGS.Options.defaults());
        try (Lookahead lookahead = new Lookahead(lbfgs, new Lookahead.Options(0, 2));
                Lookahead plain = around("reference", Lookahead.Options.defaults(), parameter("plain", 0, 1))) {
            assertTrue(lookahead.needsClosure());
            assertFalse(plain.needsClosure());
            Tensor gradient = p.gradient();
            int[] evaluations = {0};
            for (int step = 0; step < 4; step++) {
                evaluations[0] = 0;
                double loss = lookahead.step(() -> {
                    lookahead.zeroGrad(false);
                    gradient.set(0, p.value().get(0));
                    evaluations[0]++;
                    return p.value().get(0) * p.value().get(0) / 2;
                });
                assertEquals(step == 0 ? 8 : 0, loss, 1e-6);
                assertTrue(evaluations[0] > (step == 0 ? 1 : 0));
            }
            assertEquals(4, lookahead.steps());
            assertEquals(0, p.value().get(0), 1e-3);
        }
    }

    /** With alpha 1 the slow weights of Ranger would be the parameter, with 0 they are where it started. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void thoseOfRangerStartBeforeTheFirstStepOfAParameter(String engine) {
        Parameter early = parameter("early", 1, 1);
        Parameter late = parameter("late", 2, 1);
        Tensor gradient = late.gradient();
        late.gradient(null);
        Ranger.Options options = Ranger.Options.defaults().withLr(0.1).withK(3).withAlpha(0);
        try (Ranger ranger = new Ranger(TestEngines.named(engine), List.of(early), options)) {
            ranger.addParamGroup(List.of(late), options.withK(4));
            ranger.step();
            assertEquals(0.9, early.value().get(0), 1e-6);
            assertEquals(1, ranger.state(early).get("slow_buffer").get(0));
            late.gradient(gradient);
            late.value().set(0, 5);
            ranger.step();
            assertEquals(5, ranger.state(late).get("slow_buffer").get(0));
            assertEquals(4.9, late.value().get(0), 1e-6);
            ranger.step();
            assertEquals(1, early.value().get(0), "back where it started");
            assertEquals(4.8, late.value().get(0), 1e-6, "it is not its turn");
            ranger.step();
            assertEquals(5, late.value().get(0));
            assertEquals(Set.of("step", "exp_avg", "exp_avg_sq", "slow_buffer"), ranger.state(late).keySet());
            assertEquals(2 * 3 * 4, ranger.stateBytes());
            ranger.paramGroups().getFirst().set("k", 1);
            ranger.paramGroups().getFirst().set("alpha", 0.5);
            ranger.step();
            assertEquals(0.9, early.value().get(0), 1e-6, "half of the way from 1 to 0.8");
        }
    }

    @Test
    void whatIsOutOfRangeOrCannotFollowIsRefused() {
        refused(Code.INVALID, "Lookahead: Invalid slow update rate: 1.5", () -> new Lookahead.Options(1.5, 6));
        refused(Code.INVALID, "Lookahead: Invalid slow update rate: NaN", () -> new Lookahead.Options(Double.NaN, 6));
        refused(Code.INVALID, "Lookahead: Invalid lookahead steps: 0", () -> new Lookahead.Options(0.5, 0));
        refused(Code.INVALID, "Ranger: Invalid lookahead steps: 0", () -> Ranger.Options.defaults().withK(0));
        refused(Code.INVALID, "Ranger: Invalid n_sma_threshold value: 3.0", () -> Ranger.Options.defaults().withNSmaThreshold(3));
        Parameter p = Parameter.of("p", Tensor.zeros(arena, DType.FLOAT32, 2, 1));
        Tensor indices = Tensor.of(arena.allocateFrom(ValueLayout.JAVA_LONG, 1), DType.INT64, 1);
        p.sparseGradient(new SparseGradient(indices, Tensor.zeros(arena, DType.FLOAT32, 1, 1)));
        Parameter dense = parameter("dense", 1, 1);
        try (Lookahead lookahead = around("reference", new Lookahead.Options(0.5, 2), dense, p)) {
            refused(Code.UNSUPPORTED, "parameter 'p' float32[2, 1] has a sparse gradient, and slow weights follow whole tensors",
                    lookahead::step);
            assertEquals(1, dense.value().get(0), "nothing was written, though it is not their turn yet");
        }
        try (Ranger ranger = new Ranger(TestEngines.reference(), List.of(dense), Ranger.Options.defaults())) {
            refused(Code.INVALID, "Invalid k value: 0.5: expected an integer",
                    () -> ranger.hyperparameter("k").set(ranger.paramGroups().getFirst(), 0.5));
            ranger.hyperparameter("k").set(ranger.paramGroups().getFirst(), 0); // as in torch schedules may leave the range
            refused(Code.INVALID, "Ranger.step: Invalid lookahead steps: 0", ranger::step);
            ranger.hyperparameter("k").set(ranger.paramGroups().getFirst(), 2);
            ranger.step();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void trainingAndEvaluationAreTheWrappedOptimizers(String engine) {
        Parameter p = parameter("p", 4, 1);
        Parameter q = parameter("q", 4, 1);
        SGDScheduleFree.Options options = SGDScheduleFree.Options.defaults().withLr(0.5);
        SGDScheduleFree wrapped = new SGDScheduleFree(TestEngines.named(engine), List.of(p), options);
        Lookahead lookahead = new Lookahead(wrapped, new Lookahead.Options(0.5, 100));
        try (SGDScheduleFree alone = new SGDScheduleFree(TestEngines.named(engine), List.of(q), options)) {
            refused(Code.INVALID, "Optimizer was not in train mode", lookahead::step);
            for (Optimizer optimizer : List.of(lookahead, alone)) {
                optimizer.train();
                optimizer.step();
                optimizer.step();
            }
            double training = p.value().get(0);
            lookahead.eval();
            alone.eval();
            assertNotEquals(training, p.value().get(0));
            assertEquals(q.value().get(0), p.value().get(0));
            lookahead.train();
            assertEquals(training, p.value().get(0), 1e-6);
            lookahead.step();
        } finally {
            lookahead.close();
        }
        refused(Code.CLOSED, "Lookahead.eval: the optimizer is closed", lookahead::eval);
    }

    @Test
    void aSchedulersNumberIsTheWrappedOptimizersToo() {
        Parameter p = parameter("p", 0, 1);
        SGD sgd = new SGD(TestEngines.reference(), List.of(p), SGD_OPTIONS);
        SGD other = new SGD(TestEngines.reference(), List.of(parameter("q", 0, 1)), SGD_OPTIONS);
        try (other; Lookahead lookahead = new Lookahead(sgd, Lookahead.Options.defaults())) {
            assertTrue(lookahead.scheduled().isSame(sgd.scheduled()));
            assertFalse(lookahead.scheduled().isSame(sgd.hyperparameter("momentum")));
            assertFalse(lookahead.scheduled().isSame(other.scheduled()));
        }
    }
}
