package io.panoptim.train;

import io.panoptim.Bits;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What is clipped unit by unit, and averaged, has the same bits on every engine, tier and number of threads. */
@Tag("native")
class TrainRulesTest {
    private static final long[][] SHAPES = {{0}, {1}, {17}, {13, 79}, {3, 2049}, {2500, 3}, {5001}, {4, 0}};

    private static List<Engine> engines = List.of();

    @BeforeAll
    static void open() {
        engines = new ArrayList<>(TestEngines.variants());
    }

    @AfterAll
    static void close() {
        TestEngines.close(engines);
    }

    private static List<Parameter> parameters(Arena arena, DType dtype) {
        Random random = new Random(3);
        List<Parameter> parameters = new ArrayList<>();
        for (long[] shape : SHAPES) {
            Tensor value = Tensor.zeros(arena, dtype, shape);
            Tensor gradient = Tensor.zeros(arena, dtype, shape);
            for (int i = 0; i < value.elements(); i++) {
                value.set(i, random.nextGaussian());
                gradient.set(i, random.nextGaussian() * (i % 7 == 0 ? 1e-3 : 1));
            }
            parameters.add(Parameter.of("p" + parameters.size(), value).gradient(gradient));
        }
        return parameters;
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64", "BFLOAT16", "FLOAT16"})
    void unitsAreClippedToTheSameBitsOnEveryEngine(DType dtype) {
        try (Arena arena = Arena.ofShared()) {
            List<Parameter> expected = clipped(arena, dtype, TestEngines.reference());
            for (Engine engine : engines) {
                List<Parameter> actual = clipped(arena, dtype, engine);
                for (int i = 0; i < SHAPES.length; i++) {
                    Bits.assertSame(expected.get(i).gradient(), actual.get(i).gradient(), engine.description() + " " + i);
                    Bits.assertSame(expected.get(i).value(), actual.get(i).value(), "parameters stay as they are");
                }
            }
        }
    }

    private static List<Parameter> clipped(Arena arena, DType dtype, Engine engine) {
        List<Parameter> parameters = parameters(arena, dtype);
        try (GradientClipper clipper = GradientClipper.of(engine, parameters)) {
            clipper.clipNorm(20);
            clipper.adaptiveClipGrad(0.3, 1e-3);
        }
        return parameters;
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"FLOAT32", "FLOAT64", "BFLOAT16", "FLOAT16"})
    void modelsAreAveragedToTheSameBitsOnEveryEngine(DType dtype) {
        for (Averaging averaging : List.of(Averaging.getEmaAvgFn(0.9), Averaging.getSwaAvgFn(), Averaging.getSwaMultiAvgFn())) {
            try (Arena arena = Arena.ofShared()) {
                List<Parameter> models = parameters(arena, dtype);
                List<AveragedModel> averages = new ArrayList<>(List.of(new AveragedModel(TestEngines.reference(), models, averaging)));
                engines.forEach(engine -> averages.add(new AveragedModel(engine, models, averaging)));
                for (int update = 0; update < 3; update++) {
                    averages.forEach(AveragedModel::updateParameters);
                    models.forEach(model -> model.value().segment().copyFrom(model.gradient().segment()));
                }
                for (AveragedModel average : averages) {
                    models.forEach(model -> Bits.assertSame(averages.getFirst().average(model), average.average(model), "" + model));
                }
                averages.forEach(AveragedModel::close);
            }
        }
    }
}
