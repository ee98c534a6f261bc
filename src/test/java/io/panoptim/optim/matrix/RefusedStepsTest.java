package io.panoptim.optim.matrix;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.optim.Optimizer;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.api.Test;

/** What optimizers of several passes are like after a step, an option or a state dictionary was refused: as before. */
class RefusedStepsTest {
    private static final Engine ENGINE = TestEngines.reference();

    private record Kind(String name, Function<List<Parameter>, Optimizer> make) {
        @Override
        public String toString() {
            return name;
        }
    }

    private final Arena arena = Arena.ofShared();
    private final Parameter a = parameter(4, 3);
    private final Parameter b = parameter(3, 2);

    static Stream<Kind> kinds() {
        return Stream.of(new Kind("Adafactor", p -> new Adafactor(ENGINE, p, Adafactor.Options.defaults())),
                new Kind("AdafactorHF", p -> new AdafactorHF(ENGINE, p, AdafactorHF.Options.defaults().withBeta1(0.9))),
                new Kind("SOAP", p -> new SOAP(ENGINE, p, SOAP.Options.defaults().withWeightDecay(0))),
                new Kind("Dion", p -> new Dion(ENGINE, p, Dion.Options.defaults().withWeightDecay(0))),
                new Kind("Shampoo", p -> new Shampoo(ENGINE, p, Shampoo.Options.defaults().withPreconditioning(2, 2))),
                new Kind("Muon", p -> new Muon(ENGINE, p, Muon.Options.defaults().withWeightDecay(0))),
                new Kind("NorMuon", p -> new NorMuon(ENGINE, p, NorMuon.Options.defaults().withWeightDecay(0))),
                new Kind("MuonWithAuxAdam", p -> {
                    MuonWithAuxAdam made = new MuonWithAuxAdam(ENGINE, p.subList(0, 1), MuonWithAuxAdam.Options.muon());
                    made.addParamGroup(p.subList(1, 2), MuonWithAuxAdam.Options.adam());
                    return made;
                }));
    }

    @AfterEach
    void close() {
        arena.close();
    }

    private Parameter parameter(long... shape) {
        return Parameter.of(filled(Tensor.zeros(arena, DType.FLOAT32, shape))).gradient(filled(Tensor.zeros(arena, DType.FLOAT32, shape)));
    }

    private static Tensor filled(Tensor tensor) {
        for (int i = 0; i < tensor.elements(); i++) {
            tensor.set(i, (i * 7 % 11 - 5) * 0.1);
        }
        return tensor;
    }

    private static float[] values(Parameter parameter) {
        return parameter.value().segment().toArray(ValueLayout.JAVA_FLOAT);
    }

    private static Tensor inAClosedArena(Tensor like) {
        try (Arena closed = Arena.ofShared()) {
            return Tensor.zeros(closed, like.dtype(), like.shape());
        }
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void gradientsOfARefusedStepThatAreTakenBackAreNotUsed(Kind kind) {
        Parameter twinA = parameter(4, 3);
        Parameter twinB = parameter(3, 2);
        try (Optimizer optimizer = kind.make.apply(List.of(a, b)); Optimizer twin = kind.make.apply(List.of(twinA, twinB))) {
            for (int step = 0; step < 5; step++) {
                optimizer.step();
                twin.step();
                Tensor before = a.gradient();
                Tensor beforeOfB = b.gradient();
                Tensor other = Tensor.zeros(arena, DType.FLOAT32, 4, 3);
                other.set(0, 100);
                a.gradient(other);
                b.gradient(inAClosedArena(beforeOfB));
                refused("closed", optimizer::step);
                a.gradient(before);
                b.gradient(beforeOfB);
            }
            assertArrayEquals(values(twinA), values(a));
            assertArrayEquals(values(twinB), values(b));
        }
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void aRefusedFirstStepLeavesNoState(Kind kind) {
        try (Optimizer optimizer = kind.make.apply(List.of(a, b))) {
            Tensor gradient = b.gradient();
            b.gradient(inAClosedArena(gradient));
            refused("closed", optimizer::step);
            assertEquals(Map.of(), optimizer.state(a));
            assertEquals(Map.of(), optimizer.state(b));
            b.gradient(gradient);
            optimizer.step();
            assertTrue(!optimizer.state(a).isEmpty());
        }
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void stateBytesIsWhatTheTensorsOfTheStateTake(Kind kind) {
        try (Optimizer optimizer = kind.make.apply(List.of(a, b))) {
            long bytes = optimizer.stateBytes();
            optimizer.step();
            assertEquals(Stream.of(a, b).flatMap(parameter -> optimizer.state(parameter).entrySet().stream())
                    .filter(state -> !state.getKey().equals("step") && !state.getKey().equals("RMS"))
                    .mapToLong(state -> state.getValue().bytes()).sum(), bytes);
        }
    }

    /** As on a device, what is ordered on a stream is done when something else of that stream is: not for another stream's work. */
    private static <T> T lateFills(Class<T> type, T object, Map<Object, Runnable> late) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (proxy, method, given) -> {
            Object[] arguments = given == null ? new Object[0] : given.clone();
            int last = arguments.length - 1;
            if (last >= 0 && arguments[last] instanceof io.panoptim.engine.Stream stream) {
                arguments[last] = io.panoptim.engine.Stream.DEFAULT;
                Runnable ordered = late.remove(stream);
                if (ordered != null) {
                    ordered.run();
                }
                if (method.getName().equals("fill") && !arguments[1].equals(0.0)) {
                    late.put(stream, () -> ENGINE.fill((Tensor) arguments[0], (double) arguments[1], io.panoptim.engine.Stream.DEFAULT));
                    return null;
                }
            }
            try {
                Object result = method.invoke(object, arguments);
                return result instanceof MatrixProduct.Plan plan ? lateFills(MatrixProduct.Plan.class, plan, late) : result;
            } catch (InvocationTargetException thrown) {
                throw thrown.getCause();
            }
        }));
    }

    @Test
    void plansOfARefusedStepServeOnAnotherStream() {
        List<BiFunction<Engine, List<Parameter>, Optimizer>> kinds = List.of(
                (engine, p) -> new SOAP(engine, p, SOAP.Options.defaults()),
                (engine, p) -> new Shampoo(engine, p, Shampoo.Options.defaults().withPreconditioning(1, 1)));
        for (BiFunction<Engine, List<Parameter>, Optimizer> kind : kinds) {
            Parameter block = parameter(3, 4, 2); // whose outer products along the middle are added up
            Parameter twin = parameter(3, 4, 2);
            Parameter empty = parameter(0, 3);
            Engine late = lateFills(Engine.class, ENGINE, new HashMap<>());
            try (Optimizer optimizer = kind.apply(late, List.of(block, empty)); Optimizer other = kind.apply(ENGINE, List.of(twin))) {
                Tensor gradient = empty.gradient();
                empty.gradient(inAClosedArena(gradient)); // of which nothing is planned
                optimizer.stream(new io.panoptim.engine.Stream(1));
                refused("closed", optimizer::step);
                empty.gradient(gradient);
                optimizer.stream(new io.panoptim.engine.Stream(2));
                for (int step = 0; step < 3; step++) {
                    optimizer.step();
                    other.step();
                }
                assertArrayEquals(values(twin), values(block));
            }
        }
    }

    @Test
    void optionsThatTheStateFollowsFromCannotChange() {
        try (AdafactorHF optimizer = new AdafactorHF(ENGINE, List.of(a), AdafactorHF.Options.defaults())) {
            optimizer.step();
            optimizer.step();
            optimizer.paramGroups().getFirst().set("beta1", 0.9);
            refused("beta1 cannot be turned on or off after the first step", optimizer::step);
        }
        try (SOAP optimizer = new SOAP(ENGINE, List.of(a), SOAP.Options.defaults())) {
            for (int step = 0; step < 4; step++) {
                optimizer.step();
            }
            optimizer.paramGroups().getFirst().set("max_precond_dim", 3);
            refused("cannot change after the first step", optimizer::step);
            optimizer.paramGroups().getFirst().set("max_precond_dim", 10000);
            optimizer.step();
        }
    }

    @Test
    void aGroupOfTheOneKindOfMuonDoesNotBecomeTheOthers() {
        try (MuonWithAuxAdam optimizer = new MuonWithAuxAdam(ENGINE, List.of(a), MuonWithAuxAdam.Options.muon());
             MuonWithAuxAdam other = new MuonWithAuxAdam(ENGINE, List.of(b), MuonWithAuxAdam.Options.adam())) {
            optimizer.paramGroups().getFirst().set("use_muon", false);
            refused("use_muon of a group cannot change: it was true", optimizer::step);
            optimizer.paramGroups().getFirst().set("use_muon", true);
            optimizer.step();
            other.step();
            refused("use_muon of a group cannot change: it was false", () -> other.loadStateDict(optimizer.stateDict()));
            other.step();
        }
    }
}
