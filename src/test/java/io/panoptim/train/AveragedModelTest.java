package io.panoptim.train;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Averages of models are those of torch.optim.swa_utils, bit for bit. */
@Tag("native")
class AveragedModelTest {
    private static final int SIZE = 45;
    private static final int UPDATES = 9;

    private final Arena arena = Arena.ofShared();
    private final List<AveragedModel> opened = new ArrayList<>();

    @AfterEach
    void close() {
        opened.forEach(AveragedModel::close);
        arena.close();
    }

    private AveragedModel open(AveragedModel model) {
        opened.add(model);
        return model;
    }

    private static Averaging averaging(String function) {
        return switch (function) {
            case "getEmaMultiAvgFn" -> Averaging.getEmaMultiAvgFn(0.9);
            case "getEmaAvgFn" -> Averaging.getEmaAvgFn(0.9);
            case "getSwaMultiAvgFn" -> Averaging.getSwaMultiAvgFn();
            default -> Averaging.getSwaAvgFn();
        };
    }

    private static double value(long i, long step) {
        return ((i * 37 + step * 11 + i * i * step) % 101) / 70.0 - 0.6;
    }

    private static int hash(Tensor tensor) {
        return tensor.dtype() == DType.FLOAT64 ? Arrays.hashCode(tensor.segment().toArray(ValueLayout.JAVA_LONG))
                : Arrays.hashCode(tensor.segment().toArray(ValueLayout.JAVA_INT));
    }

    /** Recorded from torch 2.13 on the CPU: the hash of the average after nine updates, of a parameter and of a buffer, its negative. */
    @ParameterizedTest
    @CsvSource({
        "getEmaMultiAvgFn, FLOAT32, -896114637, 1251369011", "getEmaMultiAvgFn, FLOAT64, 2108335613, -39148035",
        "getEmaAvgFn, FLOAT32, 1319166159, -828317489", "getEmaAvgFn, FLOAT64, 768662344, -1378821304",
        "getSwaMultiAvgFn, FLOAT32, 870029812, -1277453836", "getSwaMultiAvgFn, FLOAT64, 1147993884, -999489764",
        "getSwaAvgFn, FLOAT32, -1708870635, 438613013", "getSwaAvgFn, FLOAT64, 1176631379, -970852269"})
    void averagesHaveTorchsBits(String function, DType dtype, int parameterHash, int bufferHash) {
        for (String name : new String[] {"reference", "cpu"}) {
            Parameter parameter = Parameter.of("w", Tensor.zeros(arena, dtype, SIZE));
            Tensor buffer = Tensor.zeros(arena, dtype, SIZE);
            AveragedModel averaged = open(new AveragedModel(TestEngines.named(name), List.of(parameter), Map.of("b", buffer),
                    averaging(function), true));
            for (int step = 0; step < UPDATES; step++) {
                for (int i = 0; i < SIZE; i++) {
                    parameter.value().set(i, value(i, step));
                    buffer.set(i, -parameter.value().get(i));
                }
                averaged.updateParameters();
            }
            assertEquals(UPDATES, averaged.nAveraged());
            assertEquals(parameterHash, hash(averaged.average(parameter)), name);
            assertEquals(bufferHash, hash(averaged.average("b")), name);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"getEmaMultiAvgFn", "getEmaAvgFn", "getSwaMultiAvgFn", "getSwaAvgFn"})
    void averagesOfHalfTypesAreTheSameBitsOnEveryEngine(String function) {
        for (DType dtype : new DType[] {DType.BFLOAT16, DType.FLOAT16}) {
            List<Tensor> averages = new ArrayList<>();
            for (String name : new String[] {"reference", "cpu"}) {
                Parameter parameter = Parameter.of("w", Tensor.zeros(arena, dtype, 5000));
                AveragedModel averaged = open(new AveragedModel(TestEngines.named(name), List.of(parameter), averaging(function)));
                for (int step = 0; step < 4; step++) {
                    for (int i = 0; i < 5000; i++) {
                        parameter.value().set(i, value(i, step));
                    }
                    averaged.updateParameters();
                }
                averages.add(averaged.average(parameter));
            }
            Bits.assertSame(averages.get(0), averages.get(1), function);
            assertTrue(averages.get(0).get(7) != value(7, 3));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void buffersAreCopiedUnlessTheyAreUsedAndIntegersAlways(String name) {
        for (boolean useBuffers : new boolean[] {false, true}) {
            Parameter parameter = Parameter.of("w", Tensor.of(arena, new float[] {-0.0f}));
            Tensor buffer = Tensor.of(arena, new float[] {8});
            Tensor batches = Tensor.zeros(arena, DType.INT64, 1);
            AveragedModel averaged = open(new AveragedModel(TestEngines.named(name), List.of(parameter),
                    Map.of("mean", buffer, "batches", batches), Averaging.getEmaMultiAvgFn(0.5), useBuffers));
            averaged.updateParameters();
            assertEquals(-0.0, averaged.average("w").get(0), "the first update copies");
            parameter.value().set(0, 1);
            buffer.set(0, 4);
            batches.set(0, 77);
            averaged.updateParameters();
            assertEquals(0.5, averaged.average("w").get(0));
            assertEquals(useBuffers ? 6 : 4, averaged.average("mean").get(0));
            assertEquals(77, averaged.average("batches").get(0));
        }
    }

    /** Recorded from timm 1.0.29's ModelEmaV3.get_decay. */
    @Test
    void theDecayWarmsUpAsTimms() {
        double[] steps = {1, 2, 3, 4, 20, 100_000};
        double[] defaults = {0, 0x1.7aeba0ce51aeap-2, 0x1.09db279f3d606p-1, 0x1.34d00ad6148e2p-1, 0x1.ba82caeee7637p-1, 0x1.ffc329698d37bp-1};
        double[] later = {0, 0, 0, 0.5, 0x1.a16198e055db9p-1, 0x1.fae147ae147aep-1};
        for (int i = 0; i < steps.length; i++) {
            assertEquals(1 - defaults[i], Averaging.emaWithWarmup(0.9999, 0, 0, 1, 2 / 3.0).weight((long) steps[i] - 1));
            assertEquals(1 - later[i], Averaging.emaWithWarmup(0.99, 0.5, 2, 2, 0.75).weight((long) steps[i] - 1));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void weightsAreSwappedInAndOutAgain(String name) {
        Parameter w = Parameter.of("w", Tensor.of(arena, new float[] {1, 2, 3}));
        Parameter v = Parameter.of("v", Tensor.zeros(arena, DType.FLOAT64, 1));
        AveragedModel averaged = open(new AveragedModel(TestEngines.named(name), List.of(w, v), Averaging.getSwaAvgFn()));
        averaged.updateParameters();
        w.value().set(1, 4);
        v.value().set(0, 3);
        averaged.updateParameters();
        averaged.swap();
        assertTrue(averaged.isSwapped());
        assertEquals(3, w.value().get(1));
        assertEquals(1.5, v.value().get(0));
        refused(Code.INVALID, "call swap() first", averaged::updateParameters);
        refused(Code.INVALID, "call swap() first", averaged::stateDict);
        averaged.swap();
        assertFalse(averaged.isSwapped());
        assertEquals(4, w.value().get(1));
        assertEquals(3, averaged.average(w).get(1));
        assertEquals(3, v.value().get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void tiedParametersHaveOneAverage(String name) {
        Tensor value = Tensor.of(arena, new float[] {1});
        Parameter first = Parameter.of("first", value);
        Parameter second = Parameter.of("second", value);
        AveragedModel averaged = open(new AveragedModel(TestEngines.named(name), List.of(first, second), Averaging.getSwaAvgFn()));
        averaged.updateParameters();
        value.set(0, 3);
        averaged.updateParameters();
        assertEquals(2, averaged.average(first).get(0));
        assertEquals(averaged.average(first), averaged.average(second));
        averaged.swap();
        assertEquals(2, value.get(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu"})
    void theStateGoesOnWhereItWasSavedAndAnotherModelsIsRefused(String name) {
        Engine engine = TestEngines.named(name);
        Parameter w = Parameter.of("w", Tensor.of(arena, new float[] {1, 2}));
        AveragedModel averaged = open(new AveragedModel(engine, List.of(w), Averaging.getSwaAvgFn()));
        averaged.updateParameters();
        w.value().set(0, 4);
        AveragedModel resumed = open(new AveragedModel(engine, List.of(w), Averaging.getSwaAvgFn()));
        Map<String, Object> saved = averaged.stateDict();
        assertEquals(List.of("n_averaged", "module.w"), List.copyOf(saved.keySet()));
        resumed.loadStateDict(saved);
        resumed.updateParameters();
        assertEquals(2, resumed.nAveraged());
        assertEquals(2.5, resumed.average(w).get(0));
        assertEquals(1, averaged.average(w).get(0), "tensors are copied");

        Map<String, Object> other = new HashMap<>(saved);
        other.put("module.w", Tensor.of(arena, new float[3]));
        refused(Code.INVALID, "size mismatch for module.w: copying float32[3] from checkpoint", () -> resumed.loadStateDict(other));
        other.put("module.w", Tensor.zeros(arena, DType.FLOAT64, 2));
        refused(Code.INVALID, "type, shape and layout must be equal", () -> resumed.loadStateDict(other));
        other.remove("module.w");
        refused(Code.INVALID, "Missing key(s) in state_dict: \"module.w\".", () -> resumed.loadStateDict(other));
        other.putAll(saved);
        other.put("module.v", 1);
        refused(Code.INVALID, "Unexpected key(s) in state_dict: \"module.v\".", () -> resumed.loadStateDict(other));
        assertEquals(2.5, resumed.average(w).get(0));
    }

    @Test
    void decaysOutOfRangeAreRefusedInTorchsWords() {
        for (double bad : new double[] {-0.1, 1.1, Double.NaN}) {
            String words = "Invalid decay value " + bad + " provided. Please provide a value in [0,1] range.";
            refused(Code.INVALID, words, () -> Averaging.getEmaAvgFn(bad));
            refused(Code.INVALID, words, () -> Averaging.getEmaMultiAvgFn(bad));
            refused(Code.INVALID, words, () -> Averaging.emaWithWarmup(bad, 0, 0, 1, 1));
        }
        refused(Code.INVALID, "expected a gamma more than 0", () -> Averaging.emaWithWarmup(1, 0, 0, 0, 1));
        Parameter w = Parameter.of("w", Tensor.of(arena, new float[1]));
        refused(Code.INVALID, "'w' is the name of two tensors", () -> new AveragedModel(TestEngines.reference(),
                List.of(w, Parameter.of("w", Tensor.of(arena, new float[1]))), Averaging.getSwaAvgFn()));
    }
}
