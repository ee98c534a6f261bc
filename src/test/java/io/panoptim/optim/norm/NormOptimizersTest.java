package io.panoptim.optim.norm;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.optim.Optimizer;
import io.panoptim.schedule.LinearLR;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.OptionalDouble;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What optimizers that take sums do at their edges: where golden traces, whose sources fail there or differ, say nothing. */
@Tag("native")
class NormOptimizersTest {
    private final Arena arena = Arena.ofShared();

    @AfterEach
    void close() {
        arena.close();
    }

    private Tensor vector(double... values) {
        Tensor tensor = Tensor.zeros(arena, DType.FLOAT64, values.length);
        for (int i = 0; i < values.length; i++) {
            tensor.set(i, values[i]);
        }
        return tensor;
    }

    private static double number(Optimizer optimizer, Parameter parameter, String key) {
        return optimizer.state(parameter).get(key).get(0);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void lambLimitsTheNormOfAllGradientsTogether(String name) {
        Engine engine = TestEngines.named(name);
        LAMB.Options options = LAMB.Options.defaults().withWeightDecay(0);
        Parameter a = Parameter.of("a", vector(1, 2)).gradient(vector(6, 0)); // with b: a norm of 10
        Parameter b = Parameter.of("b", vector(3)).gradient(vector(-8));
        Parameter free = Parameter.of("free", vector(4)).gradient(vector(0));
        try (LAMB lamb = new LAMB(engine, List.of(a, b), options.withMaxGradNorm(OptionalDouble.of(2.5)))) {
            lamb.addParamGroup(List.of(free), options.withMaxGradNorm(OptionalDouble.empty()));
            lamb.step();
            assertEquals((1 - 0.9) * (6 / 4.0), number(lamb, a, "exp_avg"));
            assertEquals((1 - 0.9) * (-8 / 4.0), number(lamb, b, "exp_avg"));
            a.gradient(null);
            b.gradient(vector(2));
            free.gradient(vector(1.5)); // again a norm of 2.5: at the limit nothing changes
            lamb.step();
            assertEquals(Math.fma(1 - 0.9, 2, (1 - 0.9) * -2 * 0.9), number(lamb, b, "exp_avg"));
            assertEquals((1 - 0.9) * 1.5, number(lamb, free, "exp_avg"));
            free.gradient(vector(1e9));
            lamb.step();
            assertEquals(Math.fma(1 - 0.9, 1e9, (1 - 0.9) * 1.5 * 0.9), number(lamb, free, "exp_avg"), "a group without limit");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void larsTakesAGradientAsItIsWhereANormIsZero(String name) {
        Parameter zero = Parameter.of("zero", vector(0, 0)).gradient(vector(1, -2));
        Parameter idle = Parameter.of("idle", vector(2, 4)).gradient(vector(0, 0));
        LARS.Options options = LARS.Options.defaults().withLr(0.5).withWeightDecay(0.25);
        try (LARS lars = new LARS(TestEngines.named(name), List.of(zero, idle), options)) {
            lars.step();
            assertEquals(-0.5, zero.value().get(0));
            assertEquals(1, zero.value().get(1));
            assertEquals(1.75, idle.value().get(0), "decay as in SGD");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void novogradsSecondMomentBeginsWithTheFirstGradientThatIsNotZero(String name) {
        Parameter p = Parameter.of("p", vector(1, 1)).gradient(vector(0, 0));
        try (NovoGrad novograd = new NovoGrad(TestEngines.named(name), List.of(p), NovoGrad.Options.defaults())) {
            novograd.step();
            assertEquals(1, p.value().get(0));
            assertEquals(0, number(novograd, p, "exp_avg_sq"));
            p.gradient(vector(3, 4));
            novograd.step();
            assertEquals(25, number(novograd, p, "exp_avg_sq"));
            assertEquals(Set.of("step", "exp_avg", "exp_avg_sq"), novograd.state(p).keySet());
            assertEquals(2 * 8 + 2 * 8, novograd.stateBytes(), "the maximum has its place anyway");
            novograd.paramGroups().getFirst().set("amsgrad", true);
            novograd.step();
            assertEquals(25, number(novograd, p, "max_exp_avg_sq"));
        }
    }

    /** A scheduler that starts at half of it, and a change by hand, leave the maximum as it is: the group's first learning rate. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void stableAdamwsLargestLearningRateIsTheOneThatAGroupWasAddedWith(String name) {
        StableAdamW.Options options = StableAdamW.Options.defaults().withLr(0.5).withDecoupleLr(true).withWeightDecay(0.5);
        Parameter p = Parameter.of("p", vector(8)).gradient(vector(0));
        Parameter q = Parameter.of("q", vector(8)).gradient(vector(0));
        Parameter added = Parameter.of("added", vector(8)).gradient(vector(0));
        try (StableAdamW scheduled = new StableAdamW(TestEngines.named(name), List.of(p), options);
                StableAdamW changed = new StableAdamW(TestEngines.named(name), List.of(q), options)) {
            changed.addParamGroup(List.of(added), options.withLr(0.25));
            assertEquals(OptionalDouble.of(0.5), scheduled.paramGroups().getFirst().get("max_lr"), "as optimi has it");
            new LinearLR(scheduled, 0.5, 1, 5);
            changed.paramGroups().forEach(group -> group.lr(0.25));
            scheduled.step();
            changed.step();
            assertEquals(6, p.value().get(0));
            assertEquals(6, q.value().get(0));
            assertEquals(4, added.value().get(0));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void stableAdamwDoesNotDecayWhereItsLargestLearningRateIsZero(String name) {
        StableAdamW.Options options = StableAdamW.Options.defaults().withLr(0).withDecoupleLr(true);
        Parameter p = Parameter.of("p", vector(8)).gradient(vector(1));
        Parameter zero = Parameter.of("zero", vector(8)).gradient(vector(0));
        try (StableAdamW optimizer = new StableAdamW(TestEngines.named(name), List.of(p), options)) {
            optimizer.step();
            assertEquals(8, p.value().get(0));
            optimizer.addParamGroup(List.of(zero), options.withWeightDecay(0));
            optimizer.paramGroups().forEach(group -> group.lr(0.5));
            optimizer.step();
            assertEquals(8, zero.value().get(0));
            assertTrue(p.value().get(0) < 8 && p.value().get(0) > 7);
            optimizer.paramGroups().getFirst().set("max_lr", OptionalDouble.empty());
            refused(Code.INVALID, "decouple_lr has been set later, without a max_lr: set max_lr to the largest learning rate", optimizer::step);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void allParametersShareTheEstimatesAndEachBeginsWhereItsFirstStepDoes(String name) {
        Parameter a = Parameter.of("a", vector(1, 2)).gradient(vector(1, -1));
        Parameter b = Parameter.of("b", vector(3));
        Prodigy.Options options = Prodigy.Options.defaults().withD0(1e-3);
        try (Prodigy prodigy = new Prodigy(TestEngines.named(name), List.of(a, b), options)) {
            prodigy.step();
            prodigy.step();
            b.value().set(0, 5);
            b.gradient(vector(1));
            prodigy.step();
            assertEquals(1, prodigy.state(a).get("p0").get(0));
            assertEquals(5, number(prodigy, b, "p0"), "its value before its own first step");
            assertNotEquals(5, b.value().get(0));
            assertTrue(number(prodigy, a, "d") > 1e-3);
            for (String key : List.of("d", "d_max", "d_numerator")) {
                Bits.assertSame(prodigy.state(a).get(key), prodigy.state(b).get(key), key);
            }
            assertEquals(3 * 8 * 4 + 3 * 8, prodigy.stateBytes());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void withoutAGradientThatIsNotZeroNothingMoves(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = Parameter.of("p", vector(1, -2));
        List<Parameter> one = List.of(p);
        moveOnlyWithAGradient(p, new Prodigy(engine, one, Prodigy.Options.defaults().withWeightDecay(0.5)));
        moveOnlyWithAGradient(p, new DAdaptAdam(engine, one, DAdaptAdam.Options.defaults().withWeightDecay(0.5).withDecouple(true)));
        moveOnlyWithAGradient(p, new DAdaptSGD(engine, one, DAdaptSGD.Options.defaults()));
    }

    private void moveOnlyWithAGradient(Parameter p, Optimizer optimizer) {
        try (optimizer) {
            Tensor before = vector(p.value().get(0), p.value().get(1));
            p.gradient(vector(0, 0));
            optimizer.step();
            optimizer.step();
            Bits.assertSame(before, p.value(), optimizer.name());
            assertEquals(1e-6, number(optimizer, p, "d"));
            p.gradient(vector(3, 4));
            optimizer.step();
            assertTrue(p.value().get(0) < before.get(0), optimizer.name());
            if (optimizer instanceof DAdaptSGD) {
                assertEquals(5, number(optimizer, p, "g0_norm"));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void groupsThatShareAnEstimateAgreeOnWhatItIsMadeOf(String name) {
        Parameter a = Parameter.of("a", vector(1)).gradient(vector(1));
        Parameter b = Parameter.of("b", vector(1)).gradient(vector(1));
        Prodigy.Options options = Prodigy.Options.defaults();
        try (Prodigy prodigy = new Prodigy(TestEngines.named(name), List.of(a), options)) {
            prodigy.addParamGroup(List.of(b), options.withBetas(0.9, 0.99).withWeightDecay(0.1));
            refused(Code.INVALID, "'betas' is (0.9, 0.999) in the first and (0.9, 0.99) in another", prodigy::step);
            prodigy.paramGroups().get(1).set("betas", new double[] {0.9, 0.999});
            prodigy.paramGroups().get(1).set("beta3", 0.5);
            refused(Code.INVALID, "'beta3' is None in the first and 0.5 in another", prodigy::step);
            prodigy.paramGroups().get(1).set("beta3", OptionalDouble.empty());
            prodigy.paramGroups().get(1).lr(0.5);
            refused(Code.INVALID, "Setting different lr values in different parameter groups is only supported for values of 0", prodigy::step);
            assertEquals(1, a.value().get(0), "nothing was written");
            prodigy.paramGroups().get(1).lr(0);
            prodigy.step();
            assertNotEquals(1, a.value().get(0));
            assertEquals(0, number(prodigy, b, "exp_avg"), "a group at 0 stands still");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void aGroupAtZeroStandsStillWhateverItHasGatheredBefore(String name) {
        Engine engine = TestEngines.named(name);
        Parameter p = Parameter.of("p", vector(1, -2));
        Parameter still = Parameter.of("still", vector(1, -2));
        List<Parameter> one = List.of(p);
        List<Parameter> other = List.of(still);
        for (double beta1 : new double[] {0, 0.9}) {
            Prodigy.Options options = Prodigy.Options.defaults().withD0(0.01).withBetas(beta1, 0.999).withWeightDecay(0.1);
            Prodigy prodigy = new Prodigy(engine, one, options);
            prodigy.addParamGroup(other, options);
            Prodigy frozenAtOnce = new Prodigy(engine, one, options.withDecouple(false));
            frozenAtOnce.addParamGroup(other, options.withLr(0));
            standStill(prodigy, p, still);
            standStill(frozenAtOnce, p, still);
        }
        DAdaptAdam.Options adamOptions = DAdaptAdam.Options.defaults().withD0(0.01).withWeightDecay(0.1).withDecouple(true);
        DAdaptAdam adam = new DAdaptAdam(engine, one, adamOptions);
        adam.addParamGroup(other, adamOptions);
        standStill(adam, p, still);
        DAdaptSGD.Options sgdOptions = DAdaptSGD.Options.defaults().withD0(0.01).withMomentum(0.9);
        DAdaptSGD sgd = new DAdaptSGD(engine, one, sgdOptions);
        sgd.addParamGroup(other, sgdOptions);
        standStill(sgd, p, still);
    }

    private void standStill(Optimizer optimizer, Parameter moving, Parameter still) {
        try (optimizer) {
            moving.gradient(vector(3, 4));
            still.gradient(vector(2, -1));
            optimizer.step();
            optimizer.step();
            optimizer.paramGroups().get(1).lr(0);
            Tensor before = vector(still.value().get(0), still.value().get(1));
            double there = moving.value().get(0);
            optimizer.step();
            optimizer.step();
            Bits.assertSame(before, still.value(), optimizer.name());
            assertNotEquals(there, moving.value().get(0), "the others go on");
            optimizer.paramGroups().get(1).lr(1);
            optimizer.step();
            assertNotEquals(before.get(0), still.value().get(0), "and so does this one, once it may");
        }
    }

    @Test
    void optionsOutOfRangeAreRefused() {
        refused(Code.INVALID, "LAMB: Invalid max_grad_norm value: 0.0", () -> LAMB.Options.defaults().withMaxGradNorm(OptionalDouble.of(0)));
        refused(Code.INVALID, "Nesterov momentum requires a momentum and zero dampening", () -> LARS.Options.defaults().withNesterov(true));
        refused(Code.INVALID, "Nesterov momentum requires a momentum and zero dampening", () -> LARC.Options.defaults().withNesterov(true));
        refused(Code.INVALID, "Invalid beta parameter at index 1", () -> NovoGrad.Options.defaults().withBetas(0.9, 1));
        refused(Code.INVALID, "StableAdamW: Invalid maximum learning rate: -1.0", () -> StableAdamW.Options.defaults().withMaxLr(OptionalDouble.of(-1)));
        refused(Code.INVALID, "Invalid d0 value", () -> Prodigy.Options.defaults().withD0(0));
        refused(Code.INVALID, "Prodigy: Invalid beta3 value: 1.0", () -> Prodigy.Options.defaults().withBeta3(OptionalDouble.of(1)));
        refused(Code.INVALID, "Invalid epsilon value: 0.0", () -> DAdaptAdam.Options.defaults().withEps(0));
        refused(Code.INVALID, "Invalid momentum value", () -> DAdaptSGD.Options.defaults().withMomentum(1.5));
        refused(Code.INVALID, "Invalid growth_rate value: NaN", () -> DAdaptSGD.Options.defaults().withGrowthRate(Double.NaN));
    }
}
