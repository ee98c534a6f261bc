package io.panoptim.optim;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.OnAllEngines;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.StateCode;
import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.optim.Storage.States;
import io.panoptim.optim.Storage.Values;
import io.panoptim.optim.norm.LAMB;
import io.panoptim.optim.norm.SGDP;
import io.panoptim.optim.wrap.Lookahead;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.BiFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Optimizers whose values have 16 bits and whose states have 8: what they allocate, save, load and refuse. */
@Tag("native")
class StorageTest extends OnAllEngines {
    /** An optimizer, as tests make it. */
    record Kind(String name, BiFunction<Engine, List<Parameter>, FusedOptimizer<?>> make) {
        @Override
        public String toString() {
            return name;
        }
    }

    static List<Kind> kinds() {
        return List.of(
                new Kind("Adam", (engine, all) -> new Adam(engine, all, Adam.Options.defaults().withAmsgrad(true))),
                new Kind("AdamW", (engine, all) -> new AdamW(engine, all, AdamW.Options.defaults())),
                new Kind("Lion", (engine, all) -> new Lion(engine, all, Lion.Options.defaults())),
                new Kind("SGD", (engine, all) -> new SGD(engine, all, SGD.Options.defaults().withMomentum(0.9))),
                new Kind("Adagrad", (engine, all) -> new Adagrad(engine, all, Adagrad.Options.defaults().withInitialAccumulatorValue(0.1))),
                new Kind("RMSprop", (engine, all) -> new RMSprop(engine, all, RMSprop.Options.defaults().withMomentum(0.9).withCentered(true))),
                new Kind("AdEMAMix", (engine, all) -> new AdEMAMix(engine, all, AdEMAMix.Options.defaults())),
                new Kind("LAMB", (engine, all) -> new LAMB(engine, all, LAMB.Options.defaults())));
    }

    static Stream<Storage> storages() {
        Storage defaults = Storage.defaults().withMinElements(600);
        return Stream.of(defaults.withValues(Values.MASTER).withStates(States.BFLOAT16),
                defaults.withValues(Values.REMAINDER).withStates(States.DYNAMIC8),
                defaults.withValues(Values.KAHAN).withStates(States.COMPANDED8).withScales(DType.BFLOAT16),
                defaults.withValues(Values.STOCHASTIC).withSeed(9).withFlushSubnormal(true),
                defaults.withValues(Values.STOCHASTIC).withStates(States.FLOAT8).withSeed(-3),
                defaults.withValues(Values.KAHAN).withStates(States.DYNAMIC4));
    }

    static Stream<org.junit.jupiter.params.provider.Arguments> combinations() {
        return kinds().stream().flatMap(kind -> storages().map(storage ->
                org.junit.jupiter.params.provider.Arguments.of(kind, storage)));
    }

    /** Bfloat16 parameters, one column-major, one float32, under an optimizer. */
    private static final class Run implements AutoCloseable {
        final Arena arena = Arena.ofShared();
        final List<Parameter> parameters = new ArrayList<>();
        final FusedOptimizer<?> optimizer;

        Run(Engine engine, Kind kind, Storage storage) {
            Random random = new Random(3);
            for (int i = 0; i < 4; i++) {
                DType dtype = i == 3 ? DType.FLOAT32 : DType.BFLOAT16;
                long[] shape = new long[][] {{700}, {30, 41}, {5}, {1025}}[i];
                Tensor value = i == 1 ? Tensor.of(arena.allocate(30 * 41 * 2, 64), dtype, shape, new long[] {1, 30})
                        : Tensor.zeros(arena, dtype, shape);
                Tensor gradient = i == 1 ? Tensor.of(arena.allocate(30 * 41 * 2, 64), dtype, shape, new long[] {1, 30})
                        : Tensor.zeros(arena, dtype, shape);
                for (long j = 0; j < value.elements(); j++) {
                    value.set(j, random.nextGaussian());
                }
                parameters.add(Parameter.of("p" + i, value).gradient(gradient));
            }
            optimizer = kind.make.apply(engine, parameters);
            optimizer.storage(storage);
        }

        Run steps(int from, int to) {
            for (int step = from; step < to; step++) {
                Random random = new Random(step);
                for (Parameter parameter : parameters) {
                    Tensor gradient = parameter.gradient();
                    for (long j = 0; j < gradient.elements(); j++) {
                        gradient.set(j, random.nextGaussian() * Math.exp(random.nextGaussian()));
                    }
                }
                optimizer.step();
            }
            return this;
        }

        void assertSame(Run actual, String what) {
            for (int i = 0; i < parameters.size(); i++) {
                Bits.assertSame(parameters.get(i).value(), actual.parameters.get(i).value(), what);
                Map<String, Tensor> expected = optimizer.state(parameters.get(i));
                Map<String, Tensor> found = actual.optimizer.state(actual.parameters.get(i));
                assertEquals(expected.keySet(), found.keySet(), what);
                expected.forEach((key, tensor) -> Bits.assertSame(tensor, found.get(key), what + " " + key));
            }
        }

        @Override
        public void close() {
            optimizer.close();
            arena.close();
        }
    }

    @ParameterizedTest
    @MethodSource("combinations")
    void trainingGoesOnBitByBitFromWhatWasSaved(Kind kind, Storage storage) {
        try (Run whole = new Run(TestEngines.reference(), kind, storage).steps(0, 7)) {
            for (Engine engine : List.of(engines.getFirst(), engines.getLast())) {
                try (Run first = new Run(engine, kind, storage).steps(0, 4); Run second = new Run(engine, kind, storage)) {
                    second.optimizer.loadStateDict(first.optimizer.stateDict());
                    for (int i = 0; i < first.parameters.size(); i++) {
                        second.parameters.get(i).value().segment().copyFrom(first.parameters.get(i).value().segment());
                    }
                    first.assertSame(second, "loaded");
                    whole.assertSame(second.steps(4, 7), kind + " on " + engine.description());
                }
            }
        }
    }

    @Test
    void whatIsAllocatedIsWhatWasForetold() {
        for (Kind kind : kinds()) {
            for (Storage storage : storages().toList()) {
                try (Run run = new Run(engines.getFirst(), kind, storage)) {
                    long foretold = run.optimizer.stateBytes();
                    run.steps(0, 1);
                    long found = run.parameters.stream().flatMap(parameter -> run.optimizer.state(parameter).entrySet().stream())
                            .filter(entry -> !run.optimizer.numbers().containsKey(entry.getKey()))
                            .mapToLong(entry -> entry.getValue().bytes()).sum();
                    assertEquals(found, foretold, kind + " " + storage);
                    assertEquals(foretold, run.optimizer.stateBytes());
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(value = States.class, names = {"DYNAMIC8", "COMPANDED8", "FLOAT8"})
    void adamWWithQuantisedStatesTakesAtMostTwoBytesAndATenthForEachParameter(States states) {
        try (Arena arena = Arena.ofShared()) {
            Parameter parameter = Parameter.of("w", Tensor.zeros(arena, DType.FLOAT32, 1000, 1000));
            try (AdamW adamW = new AdamW(engines.getFirst(), List.of(parameter), AdamW.Options.defaults())) {
                adamW.storage(Storage.defaults().withStates(states));
                assertTrue(adamW.stateBytes() <= 2.1 * 1e6, "" + adamW.stateBytes());
            }
        }
    }

    @Test
    void smallTensorsAreNotQuantised() {
        try (Run run = new Run(engines.getFirst(), kinds().getFirst(), Storage.defaults().withStates(States.DYNAMIC8).withMinElements(1000))
                .steps(0, 1)) {
            assertEquals(DType.BFLOAT16, run.optimizer.state(run.parameters.get(0)).get("exp_avg").dtype());
            assertNull(run.optimizer.state(run.parameters.get(0)).get("exp_avg_scale"));
            assertEquals(DType.UINT8, run.optimizer.state(run.parameters.get(1)).get("exp_avg").dtype());
        }
    }

    /** torch's and bitsandbytes' layouts: a float32 state becomes codes, and codes another type's numbers. */
    @Test
    void statesAreConvertedWhenTheyAreLoaded() {
        Kind kind = kinds().get(1);
        Storage plain = Storage.defaults().withStates(States.FLOAT32);
        Storage coded = Storage.defaults().withStates(States.DYNAMIC8).withMinElements(600);
        try (Run saved = new Run(engines.getFirst(), kind, plain).steps(0, 3); Run loaded = new Run(engines.getFirst(), kind, coded);
                Run again = new Run(engines.getFirst(), kind, coded.withStates(States.COMPANDED8));
                Run back = new Run(engines.getFirst(), kind, plain)) {
            loaded.optimizer.loadStateDict(saved.optimizer.stateDict());
            again.optimizer.loadStateDict(loaded.optimizer.stateDict());
            back.optimizer.loadStateDict(loaded.optimizer.stateDict());
            for (int i = 0; i < 4; i++) {
                for (String key : List.of("exp_avg", "exp_avg_sq")) {
                    Tensor exact = saved.optimizer.state(saved.parameters.get(i)).get(key);
                    Tensor restored = back.optimizer.state(back.parameters.get(i)).get(key);
                    assertEquals(DType.FLOAT32, restored.dtype());
                    double largest = 0;
                    for (int j = 0; j < exact.elements(); j++) {
                        largest = Math.max(largest, Math.abs(exact.get(j)));
                    }
                    for (int j = 0; j < exact.elements(); j++) {
                        assertEquals(exact.get(j), restored.get(j), i == 2 ? 0.004 * Math.abs(exact.get(j)) : 0.008 * largest);
                    }
                    if (i != 2) { // which has too few elements
                        Map<String, Tensor> state = loaded.optimizer.state(loaded.parameters.get(i));
                        StateCode code = key.equals("exp_avg") ? StateCode.DYNAMIC_SIGNED : StateCode.DYNAMIC_UNSIGNED;
                        float[] numbers = code.dequantize(state.get(key), state.get(key + "_scale"), 0, (int) exact.elements());
                        for (int j = 0; j < numbers.length; j++) {
                            assertEquals(numbers[j], restored.get(j));
                        }
                        assertEquals(DType.UINT8, again.optimizer.state(again.parameters.get(i)).get(key).dtype());
                    }
                }
            }
            Map<String, Object> unknown = new LinkedHashMap<>(loaded.optimizer.stateDict());
            List<Map<String, Object>> groups = new ArrayList<>();
            ((List<?>) unknown.get("param_groups")).forEach(group -> {
                Map<String, Object> copy = new LinkedHashMap<>();
                ((Map<?, ?>) group).forEach((key, value) -> copy.put((String) key, value));
                copy.remove("state_format");
                groups.add(copy);
            });
            unknown.put("param_groups", groups);
            refused(Code.INVALID, "does not say which", () -> back.optimizer.loadStateDict(unknown));
            groups.getFirst().put("state_format", "dynamic9");
            refused(Code.INVALID, "there is no format 'dynamic9'", () -> back.optimizer.loadStateDict(unknown));
        }
    }

    /** Also where a byte has two codes, in the order of the value's memory. */
    @Test
    void statesOf4BitsAreConvertedWhenTheyAreLoaded() {
        Kind kind = kinds().get(1);
        Storage plain = Storage.defaults().withStates(States.FLOAT32);
        Storage small = Storage.defaults().withStates(States.DYNAMIC4).withMinElements(600);
        try (Run saved = new Run(engines.getFirst(), kind, plain.withStates(States.COMPANDED8).withMinElements(600)).steps(0, 3);
                Run loaded = new Run(engines.getFirst(), kind, small); Run back = new Run(engines.getFirst(), kind, plain)) {
            loaded.optimizer.loadStateDict(saved.optimizer.stateDict());
            back.optimizer.loadStateDict(loaded.optimizer.stateDict());
            for (int i : new int[] {0, 1, 3}) {
                for (String key : List.of("exp_avg", "exp_avg_sq")) {
                    boolean signed = key.equals("exp_avg");
                    Map<String, Tensor> from = saved.optimizer.state(saved.parameters.get(i));
                    Map<String, Tensor> to = loaded.optimizer.state(loaded.parameters.get(i));
                    int size = (int) from.get(key).elements();
                    assertEquals((size + 1) / 2, to.get(key).elements());
                    float[] before = (signed ? StateCode.COMPANDED_SIGNED : StateCode.COMPANDED_UNSIGNED)
                            .dequantize(from.get(key), from.get(key + "_scale"), 0, size);
                    StateCode code = signed ? StateCode.DYNAMIC4_SIGNED : StateCode.LINEAR4_UNSIGNED;
                    float[] after = code.dequantize(to.get(key), to.get(key + "_scale"), 0, size);
                    for (int j = 0; j < size; j++) {
                        float scale = (float) to.get(key + "_scale").get(j / code.block());
                        assertEquals(code.decode(code.encode(before[j], scale), scale), after[j], key + " " + j);
                        assertEquals(after[j], back.optimizer.state(back.parameters.get(i)).get(key).get(j), key + " " + j);
                    }
                }
            }
        }
    }

    /** The same in float32, from the same numbers: a master is what the value would be there. */
    @ParameterizedTest
    @EnumSource(value = Values.class, names = {"MASTER", "REMAINDER"})
    void mastersBeginAsTheValueAndAreWhatFloat32WouldBe(Values values) {
        Engine engine = engines.getFirst();
        try (Run run = new Run(engine, kinds().get(3), Storage.defaults().withValues(values))) {
            List<Parameter> wide = run.parameters.stream().map(parameter ->
                    Parameter.of(parameter.name(), widened(run.arena, parameter.value())).gradient(widened(run.arena, parameter.gradient()))).toList();
            try (SGD float32 = new SGD(engine, wide, SGD.Options.defaults().withMomentum(0.9))) {
                for (int step = 0; step < 5; step++) {
                    run.steps(step, step + 1);
                    for (int i = 0; i < wide.size(); i++) {
                        copy(run.parameters.get(i).gradient(), wide.get(i).gradient());
                    }
                    float32.step();
                }
                for (int i = 0; i < wide.size(); i++) {
                    Map<String, Tensor> state = run.optimizer.state(run.parameters.get(i));
                    Bits.assertSame(float32.state(wide.get(i)).get("momentum_buffer"), state.get("momentum_buffer"), "momentum");
                    Tensor value = run.parameters.get(i).value();
                    for (long j = 0; j < value.elements(); j++) {
                        double master = value.get(j);
                        if (i != 3 && values == Values.MASTER) {
                            master = state.get("master").get(j);
                        } else if (i != 3) {
                            int low = (int) state.get("remainder").get(j);
                            master = Float.intBitsToFloat(Float.floatToRawIntBits((float) master) - (low < 0 ? 0x10000 : 0) | low & 0xffff);
                        }
                        assertEquals(wide.get(i).value().get(j), master);
                    }
                }
            }
        }
    }

    private static Tensor widened(Arena arena, Tensor tensor) {
        Tensor wide = Tensor.of(arena.allocate(tensor.elements() * 4, 64), DType.FLOAT32, tensor.shape(), tensor.strides());
        copy(tensor, wide);
        return wide;
    }

    private static void copy(Tensor from, Tensor to) {
        for (long i = 0; i < from.elements(); i++) {
            to.set(i, from.get(i));
        }
    }

    /** As in torch, weights may be loaded before the optimizer's state or after it. */
    @Test
    void aMasterThatWasNotSavedBeginsAsTheValueThatTheNextStepFinds() {
        for (Engine engine : engines) {
            try (Arena arena = Arena.ofShared()) {
                Parameter saved = Parameter.of("p", Tensor.zeros(arena, DType.BFLOAT16, 3)).gradient(Tensor.zeros(arena, DType.BFLOAT16, 3));
                Parameter loaded = Parameter.of("p", Tensor.zeros(arena, DType.BFLOAT16, 3)).gradient(Tensor.zeros(arena, DType.BFLOAT16, 3));
                try (AdamW plain = new AdamW(engine, List.of(saved), AdamW.Options.defaults().withWeightDecay(0));
                        AdamW mastered = new AdamW(engine, List.of(loaded), AdamW.Options.defaults())) {
                    plain.step();
                    mastered.storage(Storage.defaults().withValues(Values.MASTER));
                    mastered.loadStateDict(plain.stateDict());
                    loaded.value().set(1, 5);
                    mastered.step();
                    assertEquals(5, loaded.value().get(1), engine.description());
                    assertEquals(5, mastered.state(loaded).get("master").get(1), engine.description());
                }
            }
        }
    }

    /** Catalogue row 12: whatever the values' and states' types, the count of steps goes beyond 256. */
    @Test
    void stepsAreCountedBeyondWhatBfloat16CanCount() {
        for (Storage storage : storages().toList()) {
            try (Run run = new Run(engines.getFirst(), kinds().get(1), storage).steps(0, 2)) {
                for (int step = 2; step < 1000; step++) {
                    run.optimizer.step();
                }
                assertEquals(1000, run.optimizer.state(run.parameters.getFirst()).get("step").get(0));
            }
        }
    }

    /** Catalogue row 33: zero is exact beside what is not, so zero gradients move nothing. */
    @ParameterizedTest
    @EnumSource(value = States.class, names = {"DYNAMIC8", "COMPANDED8", "FLOAT8", "DYNAMIC4"})
    void zeroGradientsMoveNothingInAHundredThousandSteps(States states) {
        Engine engine = engines.getFirst();
        for (Kind kind : List.of(new Kind("Adam", (e, all) -> new Adam(e, all, Adam.Options.defaults())), kinds().get(2), kinds().get(3),
                kinds().get(4), kinds().get(6))) {
            try (Arena arena = Arena.ofShared()) {
                Tensor value = Tensor.zeros(arena, DType.FLOAT32, 300);
                Tensor gradient = Tensor.zeros(arena, DType.FLOAT32, 300);
                for (int i = 0; i < 300; i++) {
                    value.set(i, i - 150.5);
                }
                gradient.set(0, 1); // in either block one gives a scale
                gradient.set(299, -3);
                try (FusedOptimizer<?> optimizer = kind.make.apply(engine, List.of(Parameter.of("w", value).gradient(gradient)))) {
                    optimizer.storage(Storage.defaults().withStates(states).withMinElements(0));
                    optimizer.paramGroups().getFirst().lr(0.1);
                    if (optimizer.paramGroups().getFirst().optionNames().contains("weight_decay")) {
                        optimizer.paramGroups().getFirst().set("weight_decay", 0.0);
                    }
                    for (int step = 0; step < 100_000; step++) {
                        optimizer.step();
                    }
                }
                for (int i = 0; i < 300; i++) {
                    assertEquals(i != 0 && i != 299, value.get(i) == i - 150.5, kind + " " + states + " element " + i);
                }
            }
        }
    }

    /** Catalogue row 35: states under zero gradients become zero, and steps do not become slower; left alone they stay subnormal. */
    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64"})
    void flushedStatesBecomeZeroAndStepsStayAsFast(DType dtype) {
        for (boolean flushes : new boolean[] {true, false}) {
            try (Arena arena = Arena.ofShared(); CpuEngine engine = TestEngines.open(TestEngines.tiers().getFirst(), 1, 64)) {
                int size = 1 << 15;
                Tensor gradient = Tensor.zeros(arena, dtype, size);
                for (int i = 0; i < size; i++) {
                    gradient.set(i, (dtype == DType.FLOAT32 ? 1e-19 : 1e-290) * (1 + i % 7));
                }
                Parameter parameter = Parameter.of("w", Tensor.zeros(arena, dtype, size)).gradient(gradient);
                try (AdamW adamW = new AdamW(engine, List.of(parameter), AdamW.Options.defaults().withWeightDecay(0))) {
                    adamW.storage(Storage.defaults().withFlushSubnormal(flushes));
                    adamW.step();
                    engine.fill(gradient, 0, io.panoptim.engine.Stream.DEFAULT);
                    double early = fastest(adamW, 20);
                    for (int step = 0; step < 1000; step++) {
                        adamW.step();
                    }
                    double late = fastest(adamW, 50);
                    Tensor average = adamW.state(parameter).get("exp_avg");
                    Tensor square = adamW.state(parameter).get("exp_avg_sq");
                    for (int i = 0; i < size; i++) {
                        assertEquals(flushes, average.get(i) == 0, "element " + i);
                        assertTrue(!flushes || square.get(i) == 0, "element " + i);
                    }
                    assertTrue(!flushes || late < 2 * early, "from " + early + " to " + late);
                }
            }
        }
    }

    private static double fastest(Optimizer optimizer, int times) {
        double fastest = Double.POSITIVE_INFINITY;
        for (int i = 0; i < times; i++) {
            long start = System.nanoTime();
            optimizer.step();
            fastest = Math.min(fastest, System.nanoTime() - start);
        }
        return fastest;
    }

    /** Catalogue row 22: without a learning rate, with states of zero, nothing becomes NaN. */
    @Test
    void noLearningRateIsNoDivisionByZero() {
        for (Kind kind : kinds()) {
            for (Storage storage : storages().toList()) {
                try (Run run = new Run(engines.getFirst(), kind, storage)) {
                    run.optimizer.paramGroups().getFirst().lr(0);
                    for (int step = 0; step < 3; step++) {
                        run.optimizer.step(); // gradients of zero
                    }
                    for (Parameter parameter : run.parameters) {
                        for (long i = 0; i < parameter.value().elements(); i++) {
                            assertTrue(Double.isFinite(parameter.value().get(i)), kind + " " + storage);
                        }
                    }
                }
            }
        }
    }

    @Test
    void noiseGoesByTheSeedAndTheSteps() {
        Storage storage = Storage.defaults().withValues(Values.STOCHASTIC);
        assertNotEquals(storage.noise(0), storage.noise(1));
        assertNotEquals(storage.noise(1), storage.withSeed(1).noise(0));
        try (Run run = new Run(engines.getFirst(), kinds().get(1), storage).steps(0, 3);
                Run other = new Run(engines.getFirst(), kinds().get(1), storage.withSeed(1)).steps(0, 3)) {
            assertTrue(run.parameters.getFirst().value().segment().mismatch(other.parameters.getFirst().value().segment()) >= 0);
            assertEquals(3L, ((Map<?, ?>) ((List<?>) run.optimizer.stateDict().get("param_groups")).getFirst()).get("rounding_step"));
        }
    }

    @Test
    void whatDoesNotGoTogetherIsRefusedInWords() {
        Engine engine = engines.getFirst();
        try (Arena arena = Arena.ofShared()) {
            Parameter half = Parameter.of("half", Tensor.zeros(arena, DType.FLOAT16, 8)).gradient(Tensor.zeros(arena, DType.FLOAT16, 8));
            Parameter wide = Parameter.of("wide", Tensor.zeros(arena, DType.FLOAT64, 8)).gradient(Tensor.zeros(arena, DType.FLOAT64, 8));
            Parameter bfloat16 = Parameter.of("b", Tensor.zeros(arena, DType.BFLOAT16, 8)).gradient(Tensor.zeros(arena, DType.BFLOAT16, 8));
            try (AdamW adamW = new AdamW(engine, List.of(half), AdamW.Options.defaults())) {
                refused(Code.UNSUPPORTED, "'half' is float16: REMAINDER is for values of type bfloat16",
                        () -> adamW.storage(Storage.defaults().withValues(Values.REMAINDER)));
                refused(Code.UNSUPPORTED, "STOCHASTIC is for values of type bfloat16",
                        () -> adamW.storage(Storage.defaults().withValues(Values.STOCHASTIC)));
                adamW.storage(Storage.defaults().withValues(Values.KAHAN));
                adamW.step();
                refused(Code.INVALID, "set the storage before the first step", () -> adamW.storage(Storage.defaults()));
                adamW.addParamGroup(List.of(wide), AdamW.Options.defaults());
                adamW.step();
            }
            try (AdamW adamW = new AdamW(engine, List.of(bfloat16), AdamW.Options.defaults())) {
                adamW.storage(Storage.defaults().withStates(States.DYNAMIC8));
                adamW.addParamGroup(List.of(wide), AdamW.Options.defaults());
                refused(Code.UNSUPPORTED, "'wide' is float64: its states cannot be DYNAMIC8", adamW::step);
            }
            try (SGDP sgdp = new SGDP(engine, List.of(bfloat16), SGDP.Options.defaults())) {
                refused(Code.UNSUPPORTED, "can be quantised", () -> sgdp.storage(Storage.defaults().withStates(States.FLOAT8)));
            }
            try (SGDScheduleFree free = new SGDScheduleFree(engine, List.of(bfloat16), SGDScheduleFree.Options.defaults())) {
                refused(Code.UNSUPPORTED, "changes values outside its steps", () -> free.storage(Storage.defaults().withValues(Values.MASTER)));
            }
            AdamW inner = new AdamW(engine, List.of(bfloat16), AdamW.Options.defaults());
            try (Lookahead lookahead = new Lookahead(inner, Lookahead.Options.defaults())) {
                inner.storage(Storage.defaults().withValues(Values.MASTER));
                refused(Code.UNSUPPORTED, "slow weights change the values", lookahead::step);
            }
            refused(Code.INVALID, "scales are float32 or bfloat16", () -> Storage.defaults().withScales(DType.FLOAT16));
            refused(Code.INVALID, "cannot be -1", () -> Storage.defaults().withMinElements(-1));
        }
    }
}
