package io.panoptim.optim;

import io.panoptim.Bits;
import io.panoptim.OnAllEngines;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.golden.GoldenInputs;
import io.panoptim.golden.GoldenInputs.Format;
import io.panoptim.golden.GoldenInputs.Kind;
import io.panoptim.golden.GoldenInputs.Stream;
import io.panoptim.optim.matrix.MuonWithAuxAdam;
import io.panoptim.optim.norm.AdamMini;
import io.panoptim.optim.norm.AdamP;
import io.panoptim.optim.norm.DAdaptAdam;
import io.panoptim.optim.norm.DAdaptSGD;
import io.panoptim.optim.norm.LAMB;
import io.panoptim.optim.norm.LARC;
import io.panoptim.optim.norm.LARS;
import io.panoptim.optim.norm.MARS;
import io.panoptim.optim.norm.NovoGrad;
import io.panoptim.optim.norm.Prodigy;
import io.panoptim.optim.norm.Ranger;
import io.panoptim.optim.norm.SGDP;
import io.panoptim.optim.norm.StableAdamW;
import io.panoptim.optim.wrap.Lookahead;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.BiFunction;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The CPU engine at every tier, thread count and chunk size, and the CUDA engine, give the bits of the reference engine, after every step. */
@Tag("native")
class BitEqualityTest extends OnAllEngines {
    private static final int STEPS = 31;
    private static final int CUDA_STEPS = TestEngines.isCudaSlow() ? 5 : STEPS;
    private static final long[][] SHAPES = {{0}, {}, {1}, {3}, {7}, {17}, {1027}, {100_003}, {0, 5}, {13, 79},
        {3, 5, 2, 50}, {300, 1}, {2, 3000}};
    /** The number of a parameter that begins as zeros. */
    private static final int ZERO = 5;
    /** What the CUDA engine does not run. */
    private static final String OWN_RULE = "a user's own rule";
    private static final Betas LERP_FROM_THE_END = new Betas(0.3, 0.9);

    /** One optimizer with its parameters: one of each shape, each at an odd offset of its own. */
    private static final class Run {
        final List<Parameter> parameters = new ArrayList<>();
        final Optimizer optimizer;

        Run(Engine engine, BiFunction<Engine, List<Parameter>, Optimizer> make, DType dtype, Kind kind, Arena arena) {
            for (int i = 0; i < SHAPES.length; i++) {
                Tensor value = misaligned(arena, dtype, SHAPES[i], 2 * i + 1);
                if (i != ZERO) {
                    GoldenInputs.fill(value.segment(), Format.of(dtype.toString()), kind, 7, Stream.PARAM, i, 0);
                }
                parameters.add(Parameter.of("p" + Arrays.toString(SHAPES[i]), value).gradient(misaligned(arena, dtype, SHAPES[i], i)));
            }
            optimizer = make.apply(engine, parameters);
            optimizer.train();
        }

        /** Steps with given gradients, and now and then does what else changes tensors. */
        void step(List<Tensor> gradients, int step) {
            for (int i = 0; i < SHAPES.length; i++) {
                parameters.get(i).gradient().segment().copyFrom(gradients.get(i).segment());
            }
            if (step % 10 == 5) {
                optimizer.train();
            }
            optimizer.step();
            if (step % 10 == 4) {
                optimizer.eval();
            }
            if (optimizer instanceof SophiaG sophia && step % 3 == 1) {
                sophia.updateHessian();
            }
        }
    }

    @ParameterizedTest(name = "{0}, {2}, {3}")
    @MethodSource("cases")
    void equalsReference(String name, BiFunction<Engine, List<Parameter>, Optimizer> make, DType dtype, Kind kind) {
        try (Arena arena = Arena.ofShared()) {
            Run reference = new Run(TestEngines.reference(), make, dtype, kind, arena);
            List<Run> runs = engines.stream().filter(engine -> !name.startsWith(OWN_RULE) || !engine.name().equals("cuda"))
                    .map(engine -> new Run(engine, make, dtype, kind, arena)).toList();
            List<Tensor> gradients = Arrays.stream(SHAPES).map(shape -> Tensor.zeros(arena, dtype, shape)).toList();
            for (int step = 0; step < STEPS; step++) {
                for (int i = 0; i < SHAPES.length; i++) {
                    GoldenInputs.fill(gradients.get(i).segment(), Format.of(dtype.toString()), kind, 7, Stream.GRAD, i, step);
                }
                reference.step(gradients, step);
                for (Run run : runs) {
                    if (step >= CUDA_STEPS && run.optimizer.engine().name().equals("cuda")) {
                        continue;
                    }
                    run.step(gradients, step);
                    compare(reference, run, "step " + step + ", " + run.optimizer.engine().description());
                }
            }
            runs.forEach(run -> run.optimizer.close());
            reference.optimizer.close();
        }
    }

    private static void compare(Run expected, Run actual, String when) {
        for (int i = 0; i < SHAPES.length; i++) {
            Parameter parameter = expected.parameters.get(i);
            Bits.assertSame(parameter.value(), actual.parameters.get(i).value(), parameter.name() + ", " + when);
            Map<String, Tensor> state = actual.optimizer.state(actual.parameters.get(i));
            expected.optimizer.state(parameter).forEach((key, tensor) ->
                    Bits.assertSame(tensor, state.get(key), key + " of " + parameter.name() + ", " + when));
        }
    }

    private static Lookahead lookahead(Engine engine, List<Parameter> parameters, Lookahead.Options options) {
        return new Lookahead(new SGD(engine, parameters, SGD.Options.defaults().withLr(0.1)), options);
    }

    private static Tensor misaligned(Arena arena, DType dtype, long[] shape, long offset) {
        long bytes = Arrays.stream(shape).reduce(1, (a, b) -> a * b) * dtype.bytes();
        return Tensor.of(arena.allocate(bytes + 64, 64).asSlice(offset * dtype.bytes() % 64, bytes), dtype, shape);
    }

    static List<Arguments> cases() {
        List<Arguments> cases = new ArrayList<>();
        for (Configuration configuration : new Configurations().all) {
            for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16)) {
                cases.add(Arguments.of(configuration.name, configuration.make, dtype, configuration.kind));
            }
        }
        return cases;
    }

    /** An optimizer with options, and the kind of values it meets. */
    private record Configuration(String name, BiFunction<Engine, List<Parameter>, Optimizer> make, Kind kind) {}

    /** An optimizer's constructor. */
    private interface Constructor<O> {
        Optimizer construct(Engine engine, List<Parameter> parameters, O options);
    }

    private static final class Configurations {
        final List<Configuration> all = new ArrayList<>();

        Configurations() {
            SGD.Options sgd = SGD.Options.defaults().withLr(0.01);
            add("SGD", SGD::new, sgd, Kind.NORMAL);
            add("SGD decay maximize", SGD::new, sgd.withWeightDecay(0.1).withMaximize(true), Kind.WIDE);
            add("SGD momentum", SGD::new, sgd.withMomentum(0.9).withDampening(0.3), Kind.SPECIAL);
            add("SGD Nesterov", SGD::new, sgd.withMomentum(0.9).withNesterov(true).withWeightDecay(0.1), Kind.NORMAL);
            Adam.Options adam = Adam.Options.defaults();
            add("Adam", Adam::new, adam, Kind.NORMAL);
            MuonWithAuxAdam.Options aux = MuonWithAuxAdam.Options.adam();
            add("MuonWithAuxAdam's AdamW", MuonWithAuxAdam::new, aux, Kind.SPECIAL);
            add("MuonWithAuxAdam's AdamW decay", MuonWithAuxAdam::new, aux.withBetas(0.4, 0.5).withWeightDecay(0.1), Kind.WIDE);
            add("Adam decay maximize", Adam::new, adam.withWeightDecay(0.1).withMaximize(true), Kind.WIDE);
            add("Adam AMSGrad", Adam::new, adam.withAmsgrad(true).withBetas(LERP_FROM_THE_END.first(), LERP_FROM_THE_END.second()),
                    Kind.SPECIAL);
            AdamW.Options adamw = AdamW.Options.defaults();
            add("AdamW", AdamW::new, adamw, Kind.NORMAL);
            add("AdamW AMSGrad maximize", AdamW::new, adamw.withAmsgrad(true).withMaximize(true), Kind.WIDE);
            add("AdamW lr 0, zero gradients", AdamW::new, adamw.withLr(0), Kind.ZERO);
            add("AdamW independent decay", decaying(AdamW::new), adamw, Kind.SPECIAL);
            add("Adamax", Adamax::new, Adamax.Options.defaults().withWeightDecay(0.1), Kind.SPECIAL);
            NAdam.Options nadam = NAdam.Options.defaults();
            add("NAdam", NAdam::new, nadam.withWeightDecay(0.1), Kind.NORMAL);
            add("NAdam decoupled maximize", NAdam::new,
                    nadam.withDecoupledWeightDecay(true).withWeightDecay(0.1).withMaximize(true), Kind.SPECIAL);
            RAdam.Options radam = RAdam.Options.defaults();
            add("RAdam", RAdam::new, radam.withWeightDecay(0.1).withBetas(0.9, 0.99), Kind.NORMAL);
            add("RAdam decoupled", RAdam::new, radam.withDecoupledWeightDecay(true).withWeightDecay(0.1), Kind.SPECIAL);
            add("Adagrad", Adagrad::new, Adagrad.Options.defaults().withInitialAccumulatorValue(0.1).withLrDecay(0.01), Kind.SPECIAL);
            add("Adadelta", Adadelta::new, Adadelta.Options.defaults().withWeightDecay(0.1).withMaximize(true), Kind.NORMAL);
            RMSprop.Options rmsprop = RMSprop.Options.defaults();
            add("RMSprop", RMSprop::new, rmsprop.withWeightDecay(0.1), Kind.SPECIAL);
            add("RMSprop centered", RMSprop::new, rmsprop.withCentered(true), Kind.NORMAL);
            add("RMSprop momentum", RMSprop::new, rmsprop.withMomentum(0.9).withMaximize(true), Kind.WIDE);
            add("RMSprop centered momentum", RMSprop::new, rmsprop.withMomentum(0.9).withCentered(true), Kind.SPECIAL);
            add("Rprop", Rprop::new, Rprop.Options.defaults(), Kind.SPECIAL);
            sums();
            add("ASGD", ASGD::new, ASGD.Options.defaults().withT0(5).withWeightDecay(0.1), Kind.SPECIAL);
            add("Lion", Lion::new, Lion.Options.defaults().withWeightDecay(0.1), Kind.SPECIAL);
            SignSGD.Options signsgd = SignSGD.Options.defaults().withWeightDecay(0.1);
            add("SignSGD", SignSGD::new, signsgd, Kind.SPECIAL);
            add("SignSGD L2 maximize", SignSGD::new, signsgd.withWeightDecouple(false).withMaximize(true), Kind.WIDE);
            add("Signum", Signum::new, Signum.Options.defaults().withWeightDecay(0.1), Kind.SPECIAL);
            AdaBelief.Options adabelief = AdaBelief.Options.defaults().withWeightDecay(0.1);
            add("AdaBelief", AdaBelief::new, adabelief, Kind.NORMAL);
            add("AdaBelief AMSGrad L2", AdaBelief::new,
                    adabelief.withAmsgrad(true).withRectify(false).withDecoupledDecay(false), Kind.SPECIAL);
            add("AdaBelief idle", AdaBelief::new,
                    adabelief.withAmsgrad(true).withBetas(0.9, 0.68).withDegeneratedToSgd(false).withFixedDecay(true), Kind.WIDE);
            Adan.Options adan = Adan.Options.defaults().withWeightDecay(0.1);
            add("Adan", Adan::new, adan, Kind.SPECIAL);
            add("Adan no prox maximize", Adan::new, adan.withNoProx(true).withMaximize(true), Kind.WIDE);
            AdEMAMix.Options ademamix = AdEMAMix.Options.defaults().withWeightDecay(0.1);
            add("AdEMAMix", AdEMAMix::new, ademamix, Kind.SPECIAL);
            add("AdEMAMix warm-up, no fast average", AdEMAMix::new, ademamix.withBetas(0, 0.9, 0.99)
                    .withBeta3Warmup(OptionalDouble.of(20)).withAlphaWarmup(OptionalDouble.of(10)), Kind.NORMAL);
            ADOPT.Options adopt = ADOPT.Options.defaults().withWeightDecay(0.1);
            add("ADOPT", ADOPT::new, adopt, Kind.SPECIAL);
            add("ADOPT decoupled, not clipped", ADOPT::new,
                    adopt.withDecouple(true).withClipExp(OptionalDouble.empty()).withBetas(0.3, 0.9), Kind.WIDE);
            Yogi.Options yogi = Yogi.Options.defaults().withWeightDecay(0.1);
            add("Yogi", Yogi::new, yogi, Kind.SPECIAL);
            add("Yogi L2 maximize", Yogi::new, yogi.withWeightDecouple(false).withMaximize(true), Kind.WIDE);
            RMSpropTF.Options rmspropTf = RMSpropTF.Options.defaults().withWeightDecay(0.1);
            add("RMSpropTF", RMSpropTF::new, rmspropTf, Kind.SPECIAL);
            add("RMSpropTF centered", RMSpropTF::new, rmspropTf.withCentered(true).withDecoupledDecay(true), Kind.NORMAL);
            add("RMSpropTF momentum", RMSpropTF::new, rmspropTf.withMomentum(0.9).withMaximize(true), Kind.WIDE);
            add("RMSpropTF centered momentum", RMSpropTF::new,
                    rmspropTf.withMomentum(0.9).withCentered(true).withLrInMomentum(false), Kind.SPECIAL);
            MADGRAD.Options madgrad = MADGRAD.Options.defaults().withWeightDecay(0.1);
            add("MADGRAD", MADGRAD::new, madgrad, Kind.WIDE);
            add("MADGRAD decoupled", MADGRAD::new, madgrad.withDecoupledDecay(true).withMaximize(true), Kind.SPECIAL);
            add("MADGRAD no momentum", MADGRAD::new, madgrad.withMomentum(0), Kind.NORMAL);
            add("MADGRAD no momentum wide", MADGRAD::new, madgrad.withMomentum(0).withEps(0), Kind.WIDE);
            FTRL.Options ftrl = FTRL.Options.defaults().withLr(0.1).withBeta(0.3).withL1RegularizationStrength(0.01)
                    .withL2RegularizationStrength(0.1).withL2ShrinkageRegularizationStrength(0.2);
            add("FTRL", FTRL::new, ftrl, Kind.SPECIAL);
            add("FTRL maximize", FTRL::new, ftrl.withMaximize(true), Kind.WIDE);
            add("FTRL power", FTRL::new, ftrl.withLearningRatePower(-0.7), Kind.WIDE);
            add("FTRL small power", FTRL::new, ftrl.withLearningRatePower(-0.1).withInitialAccumulatorValue(0), Kind.SPECIAL);
            add("FTRL power 0", FTRL::new, ftrl.withLearningRatePower(0), Kind.NORMAL);
            add("FTRL large power", FTRL::new, ftrl.withLearningRatePower(-7), Kind.WIDE);
            SophiaG.Options sophia = SophiaG.Options.defaults().withLr(0.01).withBs(100);
            add("SophiaG", SophiaG::new, sophia, Kind.SPECIAL);
            add("SophiaG maximize", SophiaG::new, sophia.withMaximize(true), Kind.WIDE);
            SGDScheduleFree.Options sgdFree = SGDScheduleFree.Options.defaults().withLr(0.01).withWeightDecay(0.1);
            add("SGDScheduleFree", SGDScheduleFree::new, sgdFree, Kind.SPECIAL);
            add("SGDScheduleFree warm-up", SGDScheduleFree::new,
                    sgdFree.withMaximize(true).withWarmupSteps(7).withR(1).withMomentum(0.3), Kind.WIDE);
            AdamWScheduleFree.Options adamwFree = AdamWScheduleFree.Options.defaults().withWeightDecay(0.1);
            add("AdamWScheduleFree", AdamWScheduleFree::new, adamwFree.withMaximize(true), Kind.WIDE);
            add("AdamWScheduleFree inner momentum", AdamWScheduleFree::new,
                    adamwFree.withInnerMomentum(0.9).withWarmupSteps(5), Kind.SPECIAL);
            RAdamScheduleFree.Options radamFree = RAdamScheduleFree.Options.defaults().withWeightDecay(0.1);
            add("RAdamScheduleFree", RAdamScheduleFree::new, radamFree, Kind.NORMAL);
            add("RAdamScheduleFree SGD phase", RAdamScheduleFree::new,
                    radamFree.withSilentSgdPhase(false).withMaximize(true), Kind.SPECIAL);
            add("LaProp", LaProp::new, LaProp.Options.defaults().withWeightDecay(0.1), Kind.SPECIAL);
            OwnOptimizer.Options own = new OwnOptimizer.Options(1e-2, 0.1, false, false, false);
            add(OWN_RULE, OwnOptimizer::new, own, Kind.NORMAL);
            add(OWN_RULE + ", with options", OwnOptimizer::new, new OwnOptimizer.Options(1e-2, 0.1, true, true, false), Kind.SPECIAL);
            add(OWN_RULE + ", other options", OwnOptimizer::new, new OwnOptimizer.Options(0.1, 0, false, true, true), Kind.WIDE);
            cautious(sgd.withMomentum(0.9).withCaution(true), adamw.withCaution(true), adopt.withCaution(true).withWeightDecay(0.1));
            projected();
            add("AdamMini, one block", AdamMini::new, AdamMini.Options.defaults().withBlocks(AdamMini.TENSOR), Kind.SPECIAL);
            AdamMini.Options mini = AdamMini.Options.defaults().withLr(0.01).withWeightDecay(0.1);
            add("AdamMini", AdamMini::new, mini, Kind.NORMAL);
            add("AdamMini maximize", AdamMini::new, mini.withMaximize(true).withBetas(0.3, 0.9), Kind.WIDE);
            add("AdamMini", AdamMini::new, mini, Kind.SPECIAL);
            add("AdamMini, each element", AdamMini::new, mini.withBlocks(AdamMini.ELEMENTS), Kind.ZERO);
            MARS.Options mars = MARS.Options.defaults().withWeightDecay(0.1);
            add("MARS vectors", MARS::new, mars.withOptimize1d(true), Kind.NORMAL);
            add("MARS", MARS::new, mars.withBetas1d(Optional.of(LERP_FROM_THE_END)).withLr1dFactor(0.3), Kind.SPECIAL);
            add("MARS wide", MARS::new, mars.withMaximize(true), Kind.WIDE);
            add("MARS Lion", MARS::new, mars.withMarsType(MARS.Type.LION), Kind.NORMAL);
            add("MARS Lion alone", MARS::new, mars.withMarsType(MARS.Type.LION).withOptimize1d(true), Kind.ZERO);
            Ranger.Options ranger = Ranger.Options.defaults().withWeightDecay(0.1).withBetas(0.9, 0.99);
            add("Ranger", Ranger::new, ranger, Kind.NORMAL);
            add("Ranger convolutions maximize", Ranger::new, ranger.withGcConvOnly(true).withMaximize(true).withK(1), Kind.WIDE);
            add("Ranger", Ranger::new, ranger.withK(4).withAlpha(0.8), Kind.SPECIAL);
            add("Lookahead", BitEqualityTest::lookahead, new Lookahead.Options(0.8, 3), Kind.SPECIAL);
        }

        private void cautious(SGD.Options sgd, AdamW.Options adamw, ADOPT.Options adopt) {
            add("SGD caution", SGD::new, sgd, Kind.SPECIAL);
            add("SGD caution Nesterov L2", SGD::new, sgd.withNesterov(true).withWeightDecay(0.1).withMaximize(true), Kind.NORMAL);
            add("SGD caution without momentum", SGD::new, sgd.withMomentum(0), Kind.NORMAL);
            add("AdamW caution", AdamW::new, adamw, Kind.NORMAL);
            add("AdamW caution maximize", AdamW::new, adamw.withMaximize(true), Kind.WIDE);
            add("AdamW caution AMSGrad", AdamW::new, adamw.withAmsgrad(true), Kind.SPECIAL);
            add("AdamW caution, zero gradients", AdamW::new, adamw, Kind.ZERO);
            add("Lion caution", Lion::new, Lion.Options.defaults().withCaution(true), Kind.SPECIAL);
            add("ADOPT caution", ADOPT::new, adopt, Kind.NORMAL);
            add("ADOPT caution decoupled", ADOPT::new, adopt.withDecouple(true), Kind.SPECIAL);
            add("LaProp caution", LaProp::new, LaProp.Options.defaults().withCaution(true), Kind.SPECIAL);
        }

        /** With limits at which some tensors are projected by rows, some as a whole, and some not. */
        private void projected() {
            AdamP.Options adamp = AdamP.Options.defaults().withWeightDecay(0.1);
            add("AdamP", AdamP::new, adamp.withDelta(2), Kind.NORMAL);
            add("AdamP Nesterov", AdamP::new, adamp.withDelta(0.5).withNesterov(true), Kind.SPECIAL);
            add("AdamP wide", AdamP::new, adamp.withDelta(5), Kind.WIDE);
            add("AdamP zero", AdamP::new, adamp, Kind.ZERO);
            add("AdamP maximize", AdamP::new, adamp.withMaximize(true), Kind.NORMAL);
            SGDP.Options sgdp = SGDP.Options.defaults().withWeightDecay(0.1).withMomentum(0.9);
            add("SGDP", SGDP::new, sgdp.withDelta(2).withDampening(0.3), Kind.NORMAL);
            add("SGDP Nesterov", SGDP::new, sgdp.withDelta(0.5).withNesterov(true).withMaximize(true), Kind.SPECIAL);
            add("SGDP zero", SGDP::new, sgdp, Kind.ZERO);
        }

        private void sums() {
            LAMB.Options lamb = LAMB.Options.defaults();
            add("LAMB", LAMB::new, lamb.withMaximize(true), Kind.SPECIAL);
            add("LAMB decoupled, clipped", LAMB::new, lamb.withDecoupledDecay(true).withTrustClip(true).withGradAveraging(false), Kind.WIDE);
            add("LAMB unadapted, no bias correction", LAMB::new, lamb.withWeightDecay(0).withBiasCorrection(false), Kind.NORMAL);
            add("LAMB always adapted, zero gradients", LAMB::new, lamb.withWeightDecay(0).withAlwaysAdapt(true), Kind.ZERO);
            LARS.Options lars = LARS.Options.defaults();
            add("LARS", LARS::new, lars.withWeightDecay(0.1).withMaximize(true), Kind.SPECIAL);
            add("LARS momentum", LARS::new, lars.withAlwaysAdapt(true).withMomentum(0.9).withDampening(0.3), Kind.WIDE);
            add("LARS unadapted Nesterov", LARS::new, lars.withMomentum(0.9).withNesterov(true), Kind.NORMAL);
            add("LARC", LARC::new, LARC.Options.defaults().withWeightDecay(0.1).withMomentum(0.9).withLr(0.01), Kind.SPECIAL);
            NovoGrad.Options novograd = NovoGrad.Options.defaults();
            add("NovoGrad", NovoGrad::new, novograd.withMaximize(true), Kind.WIDE);
            add("NovoGrad AMSGrad", NovoGrad::new, novograd.withAmsgrad(true).withWeightDecay(0.1).withGradAveraging(true), Kind.SPECIAL);
            add("NovoGrad zero gradients", NovoGrad::new, novograd.withWeightDecay(0.1), Kind.ZERO);
            StableAdamW.Options stable = StableAdamW.Options.defaults();
            add("StableAdamW", StableAdamW::new, stable.withMaximize(true), Kind.SPECIAL);
            add("StableAdamW decoupled", StableAdamW::new, stable.withDecoupleLr(true).withMaxLr(OptionalDouble.of(0.1)), Kind.WIDE);
            Prodigy.Options prodigy = Prodigy.Options.defaults();
            add("Prodigy", Prodigy::new, prodigy.withWeightDecay(0.1).withUseBiasCorrection(true), Kind.NORMAL);
            add("Prodigy L2, safeguarded, slow", Prodigy::new, prodigy.withWeightDecay(0.1).withDecouple(false).withSafeguardWarmup(true)
                    .withGrowthRate(1.02).withMaximize(true), Kind.NORMAL);
            add("Prodigy without average", Prodigy::new, prodigy.withBetas(0, 0.9).withBeta3(OptionalDouble.of(0.8)), Kind.SPECIAL);
            add("Prodigy zero gradients", Prodigy::new, prodigy.withWeightDecay(0.1), Kind.ZERO);
            DAdaptAdam.Options adapted = DAdaptAdam.Options.defaults();
            add("DAdaptAdam", DAdaptAdam::new, adapted.withWeightDecay(0.1).withUseBiasCorrection(true).withDecouple(true), Kind.NORMAL);
            add("DAdaptAdam L2", DAdaptAdam::new, adapted.withWeightDecay(0.1).withLayerScale(0.3).withMaximize(true), Kind.WIDE);
            add("DAdaptAdam special", DAdaptAdam::new, adapted.withGrowthRate(1.02), Kind.SPECIAL);
            DAdaptSGD.Options adaptedSgd = DAdaptSGD.Options.defaults();
            add("DAdaptSGD", DAdaptSGD::new, adaptedSgd.withMomentum(0.9).withWeightDecay(0.1), Kind.NORMAL);
            add("DAdaptSGD special", DAdaptSGD::new, adaptedSgd.withMaximize(true), Kind.SPECIAL);
            add("DAdaptSGD zero gradients", DAdaptSGD::new, adaptedSgd, Kind.ZERO);
            add("LAMB independent decay", decaying(LAMB::new), lamb, Kind.NORMAL);
            add("ADOPT independent decay", decaying(ADOPT::new), ADOPT.Options.defaults(), Kind.NORMAL);
            add("Prodigy independent decay", decaying(Prodigy::new), prodigy, Kind.NORMAL);
        }

        private static <O> Constructor<O> decaying(Constructor<O> constructor) {
            return (engine, parameters, options) -> {
                Optimizer optimizer = constructor.construct(engine, parameters, options);
                optimizer.paramGroups().getFirst().independentWeightDecay(0.01);
                return optimizer;
            };
        }

        private <O> void add(String name, Constructor<O> constructor, O options, Kind kind) {
            all.add(new Configuration(name, (engine, parameters) -> constructor.construct(engine, parameters, options), kind));
        }
    }
}
