package io.panoptim.tools.train.digits;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.Storage;
import io.panoptim.optim.Storage.States;
import io.panoptim.optim.Storage.Values;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import io.panoptim.tools.train.Task;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What is kept in fewer bits learns as well: the digits, trained with each scheme, within one percentage point of float32. */
@Tag("native")
class LowPrecisionTrainingTest {
    private static final int EPOCHS = 4;

    @Test
    void everySchemeReachesFloat32sAccuracy() {
        Engine engine = TestEngines.cpu();
        double float32 = accuracy(engine, DType.FLOAT32, Storage.defaults());
        assertTrue(float32 > 0.95, "" + float32);
        Storage small = Storage.defaults().withMinElements(256);
        List<String> worse = new ArrayList<>();
        for (States states : List.of(States.BFLOAT16, States.DYNAMIC8, States.COMPANDED8, States.FLOAT8, States.DYNAMIC4)) {
            check(engine, DType.FLOAT32, small.withStates(states), float32, worse);
        }
        for (Values values : List.of(Values.MASTER, Values.REMAINDER, Values.KAHAN, Values.STOCHASTIC)) { // PLAIN loses small updates
            check(engine, DType.BFLOAT16, small.withValues(values), float32, worse);
        }
        check(engine, DType.FLOAT16, small.withValues(Values.KAHAN).withStates(States.FLOAT32), float32, worse);
        check(engine, DType.BFLOAT16, small.withValues(Values.REMAINDER).withStates(States.COMPANDED8).withScales(DType.BFLOAT16), float32, worse);
        check(engine, DType.BFLOAT16, small.withValues(Values.STOCHASTIC).withStates(States.DYNAMIC8), float32, worse);
        assertTrue(worse.isEmpty(), float32 + " in float32, and " + worse);
    }

    private static void check(Engine engine, DType dtype, Storage storage, double float32, List<String> worse) {
        double accuracy = accuracy(engine, dtype, storage);
        if (!(accuracy >= float32 - 0.01)) {
            worse.add(accuracy + " " + dtype + " " + storage);
        }
    }

    /** Trains parameters of a type, of which the model's own are copies. */
    private static double accuracy(Engine engine, DType dtype, Storage storage) {
        try (Digits digits = new Digits(engine, 32, 0.5, 5); Arena arena = Arena.ofShared()) {
            Task task = digits.tasks().getFirst();
            List<Parameter> models = task.groups().stream().flatMap(group -> group.parameters().stream()).toList();
            List<Parameter> stored = new ArrayList<>();
            for (Parameter parameter : models) {
                Tensor value = Tensor.zeros(arena, dtype, parameter.value().shape());
                copy(parameter.value(), value);
                copy(value, parameter.value());
                stored.add(Parameter.of(parameter.name(), value).gradient(Tensor.zeros(arena, dtype, value.shape())));
            }
            try (AdamW adamW = new AdamW(engine, stored, AdamW.Options.defaults().withLr(0.005))) {
                adamW.storage(storage);
                for (int epoch = 0; epoch < EPOCHS; epoch++) {
                    for (int batch = 0; batch < digits.batches(); batch++) {
                        digits.select(epoch, batch);
                        task.lossAndGradients().getAsDouble();
                        for (int i = 0; i < stored.size(); i++) {
                            copy(models.get(i).gradient(), stored.get(i).gradient());
                        }
                        adamW.step();
                        for (int i = 0; i < stored.size(); i++) {
                            copy(stored.get(i).value(), models.get(i).value());
                        }
                    }
                    adamW.paramGroups().getFirst().lr(adamW.paramGroups().getFirst().lr() * 0.5);
                }
            }
            return digits.measure().get("accuracy");
        }
    }

    private static void copy(Tensor from, Tensor to) {
        for (long i = 0; i < from.elements(); i++) {
            to.set(i, from.get(i));
        }
    }
}
