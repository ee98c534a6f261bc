package io.panoptim.optim;

import io.panoptim.Bits;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.golden.GoldenInputs;
import io.panoptim.golden.GoldenInputs.Format;
import io.panoptim.golden.GoldenInputs.Kind;
import io.panoptim.golden.GoldenInputs.Stream;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The CPU engine at every tier, thread count and chunk size gives the bits of the reference engine, after every step. */
@Tag("native")
class BitEqualityTest {
    private static final int STEPS = 31;
    private static final long[] SIZES = {0, 1, 3, 7, 17, 1027, 100_003};
    private static final Betas LERP_FROM_THE_END = new Betas(0.3, 0.9);

    private static List<CpuEngine> engines = List.of();

    @BeforeAll
    static void open() {
        engines = TestEngines.variants();
    }

    @AfterAll
    static void close() {
        engines.forEach(CpuEngine::close);
    }

    /** One optimizer with its parameters: one of each size, each at an odd offset of its own. */
    private static final class Run {
        final List<Parameter> parameters = new ArrayList<>();
        final Optimizer optimizer;

        Run(Engine engine, BiFunction<Engine, List<Parameter>, Optimizer> make, DType dtype, Kind kind, Arena arena) {
            for (int i = 0; i < SIZES.length; i++) {
                Tensor value = misaligned(arena, dtype, SIZES[i], 2 * i + 1);
                GoldenInputs.fill(value.segment(), Format.of(dtype.toString()), kind, 7, Stream.PARAM, i, 0);
                parameters.add(Parameter.of("p" + SIZES[i], value).gradient(misaligned(arena, dtype, SIZES[i], i)));
            }
            optimizer = make.apply(engine, parameters);
        }

        /** Steps with given gradients. */
        void step(List<Tensor> gradients) {
            for (int i = 0; i < SIZES.length; i++) {
                parameters.get(i).gradient().segment().copyFrom(gradients.get(i).segment());
            }
            optimizer.step();
        }
    }

    @ParameterizedTest(name = "{0}, {2}, {3}")
    @MethodSource("cases")
    void cpuEqualsReference(String name, BiFunction<Engine, List<Parameter>, Optimizer> make, DType dtype, Kind kind) {
        try (Arena arena = Arena.ofShared()) {
            Run reference = new Run(TestEngines.reference(), make, dtype, kind, arena);
            List<Run> runs = engines.stream().map(engine -> new Run(engine, make, dtype, kind, arena)).toList();
            List<Tensor> gradients = Arrays.stream(SIZES).mapToObj(size -> Tensor.zeros(arena, dtype, size)).toList();
            for (int step = 0; step < STEPS; step++) {
                for (int i = 0; i < SIZES.length; i++) {
                    GoldenInputs.fill(gradients.get(i).segment(), Format.of(dtype.toString()), kind, 7, Stream.GRAD, i, step);
                }
                reference.step(gradients);
                for (Run run : runs) {
                    run.step(gradients);
                    compare(reference, run, "step " + step + ", " + run.optimizer.engine().description());
                }
            }
            runs.forEach(run -> run.optimizer.close());
            reference.optimizer.close();
        }
    }

    private static void compare(Run expected, Run actual, String when) {
        for (int i = 0; i < SIZES.length; i++) {
            Parameter parameter = expected.parameters.get(i);
            Bits.assertSame(parameter.value(), actual.parameters.get(i).value(), parameter.name() + ", " + when);
            Map<String, Tensor> state = actual.optimizer.state(actual.parameters.get(i));
            expected.optimizer.state(parameter).forEach((key, tensor) ->
                    Bits.assertSame(tensor, state.get(key), key + " of " + parameter.name() + ", " + when));
        }
    }

    private static Tensor misaligned(Arena arena, DType dtype, long elements, long offset) {
        long bytes = elements * dtype.bytes();
        return Tensor.of(arena.allocate(bytes + 64, 64).asSlice(offset * dtype.bytes() % 64, bytes), dtype, elements);
    }

    static List<Arguments> cases() {
        List<Arguments> cases = new ArrayList<>();
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16)) {
            SGD.Options sgd = SGD.Options.defaults().withLr(0.01);
            add(cases, "SGD", sgd, dtype, Kind.NORMAL);
            add(cases, "SGD decay maximize", sgd.withWeightDecay(0.1).withMaximize(true), dtype, Kind.WIDE);
            add(cases, "SGD momentum", sgd.withMomentum(0.9).withDampening(0.3), dtype, Kind.SPECIAL);
            add(cases, "SGD Nesterov", sgd.withMomentum(0.9).withNesterov(true).withWeightDecay(0.1), dtype, Kind.NORMAL);
            Adam.Options adam = Adam.Options.defaults();
            add(cases, "Adam", adam, dtype, Kind.NORMAL);
            add(cases, "Adam decay maximize", adam.withWeightDecay(0.1).withMaximize(true), dtype, Kind.WIDE);
            add(cases, "Adam AMSGrad", adam.withAmsgrad(true).withBetas(LERP_FROM_THE_END.first(), LERP_FROM_THE_END.second()),
                    dtype, Kind.SPECIAL);
            AdamW.Options adamw = AdamW.Options.defaults();
            add(cases, "AdamW", adamw, dtype, Kind.NORMAL);
            add(cases, "AdamW AMSGrad maximize", adamw.withAmsgrad(true).withMaximize(true), dtype, Kind.WIDE);
            add(cases, "AdamW lr 0, zero gradients", adamw.withLr(0), dtype, Kind.ZERO);
            add(cases, "Adamax", Adamax.Options.defaults().withWeightDecay(0.1), dtype, Kind.SPECIAL);
            add(cases, "NAdam", NAdam.Options.defaults().withWeightDecay(0.1), dtype, Kind.NORMAL);
            add(cases, "NAdam decoupled maximize", NAdam.Options.defaults().withDecoupledWeightDecay(true).withWeightDecay(0.1)
                    .withMaximize(true), dtype, Kind.SPECIAL);
            add(cases, "RAdam", RAdam.Options.defaults().withWeightDecay(0.1).withBetas(0.9, 0.99), dtype, Kind.NORMAL);
            add(cases, "RAdam decoupled", RAdam.Options.defaults().withDecoupledWeightDecay(true).withWeightDecay(0.1), dtype,
                    Kind.SPECIAL);
            add(cases, "Adagrad", Adagrad.Options.defaults().withInitialAccumulatorValue(0.1).withLrDecay(0.01), dtype,
                    Kind.SPECIAL);
            add(cases, "Adadelta", Adadelta.Options.defaults().withWeightDecay(0.1).withMaximize(true), dtype, Kind.NORMAL);
            add(cases, "RMSprop", RMSprop.Options.defaults().withWeightDecay(0.1), dtype, Kind.SPECIAL);
            add(cases, "RMSprop centered", RMSprop.Options.defaults().withCentered(true), dtype, Kind.NORMAL);
            add(cases, "RMSprop momentum", RMSprop.Options.defaults().withMomentum(0.9).withMaximize(true), dtype, Kind.WIDE);
            add(cases, "RMSprop centered momentum", RMSprop.Options.defaults().withMomentum(0.9).withCentered(true), dtype,
                    Kind.SPECIAL);
            add(cases, "Rprop", Rprop.Options.defaults(), dtype, Kind.SPECIAL);
            add(cases, "ASGD", ASGD.Options.defaults().withT0(5).withWeightDecay(0.1), dtype, Kind.SPECIAL);
        }
        return cases;
    }

    private static void add(List<Arguments> cases, String name, Record options, DType dtype, Kind kind) {
        BiFunction<Engine, List<Parameter>, Optimizer> make = (engine, parameters) -> switch (options) {
            case SGD.Options sgd -> new SGD(engine, parameters, sgd);
            case Adam.Options adam -> new Adam(engine, parameters, adam);
            case AdamW.Options adamw -> new AdamW(engine, parameters, adamw);
            case Adamax.Options adamax -> new Adamax(engine, parameters, adamax);
            case NAdam.Options nadam -> new NAdam(engine, parameters, nadam);
            case RAdam.Options radam -> new RAdam(engine, parameters, radam);
            case Adagrad.Options adagrad -> new Adagrad(engine, parameters, adagrad);
            case Adadelta.Options adadelta -> new Adadelta(engine, parameters, adadelta);
            case RMSprop.Options rmsprop -> new RMSprop(engine, parameters, rmsprop);
            case Rprop.Options rprop -> new Rprop(engine, parameters, rprop);
            case ASGD.Options asgd -> new ASGD(engine, parameters, asgd);
            default -> throw new AssertionError(options);
        };
        cases.add(Arguments.of(name, make, dtype, kind));
    }
}
