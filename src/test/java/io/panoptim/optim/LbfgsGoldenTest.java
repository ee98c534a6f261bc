package io.panoptim.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.panoptim.TestEngines;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.Isa;
import io.panoptim.ffi.libm;
import io.panoptim.golden.GoldenInputs;
import io.panoptim.golden.GoldenInputs.Format;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** LBFGS repeats what was recorded from torch on functions that are rebuilt here (src/test/golden/record_lbfgs.py). */
@Tag("native")
class LbfgsGoldenTest {
    /** How far the losses of torch's own dot product may be, in units of the first loss; largest seen: 4e-13 and 4e-6. */
    private static final double STOCK_FLOAT64 = 1e-11;
    private static final double STOCK_FLOAT32 = 1e-4;

    static List<Named<JsonNode>> runs() throws IOException {
        JsonNode runs = new ObjectMapper().readTree(Path.of("src/test/golden/lbfgs.json").toFile()).get("runs");
        return elements(runs).stream().map(run -> Named.of(run.get("name").asText(), run)).toList();
    }

    @ParameterizedTest
    @MethodSource("runs")
    void theReferenceEngineRepeatsTorch(JsonNode golden) {
        repeat(golden, TestEngines.reference());
    }

    @ParameterizedTest
    @MethodSource("runs")
    void everyTierOfTheCpuEngineRepeatsTorch(JsonNode golden) {
        for (Isa isa : TestEngines.tiers()) {
            try (CpuEngine engine = TestEngines.open(isa, 2, 1)) {
                repeat(golden, engine);
            }
        }
    }

    private static void repeat(JsonNode golden, Engine engine) {
        try (Arena arena = Arena.ofShared()) {
            DType dtype = DType.valueOf(golden.get("dtype").asText().toUpperCase(Locale.ROOT));
            List<Parameter> parameters = new ArrayList<>();
            int first = 0;
            for (JsonNode shape : golden.get("shapes")) {
                Tensor value = Tensor.zeros(arena, dtype, elements(shape).stream().mapToLong(JsonNode::asLong).toArray());
                for (long i = 0; i < value.elements(); i++) {
                    value.set(i, golden.get("start").get(first++).asDouble());
                }
                parameters.add(Parameter.of(value));
            }
            Set<Integer> absent = new HashSet<>();
            golden.get("absent").forEach(index -> absent.add(index.asInt()));
            try (LBFGS optimizer = new LBFGS(engine, parameters, options(golden.get("options")))) {
                compare(golden, optimizer, () -> evaluate(golden.get("function").asText(), parameters, absent, arena));
            }
        }
    }

    private static LBFGS.Options options(JsonNode node) {
        Map<String, Object> options = new HashMap<>();
        node.properties().forEach(option -> options.put(option.getKey(),
                option.getValue().isTextual() ? option.getValue().asText() : option.getValue().numberValue()));
        return LBFGS.SCHEMA.with(LBFGS.Options.defaults(), options);
    }

    private static void compare(JsonNode golden, LBFGS optimizer, java.util.function.DoubleSupplier closure) {
        List<Parameter> parameters = optimizer.paramGroups().getFirst().params();
        boolean float64 = golden.get("dtype").asText().equals("float64");
        double unit = number(golden.get("stock").get(0).get("loss")) * (float64 ? STOCK_FLOAT64 : STOCK_FLOAT32);
        for (int step = 0; step < golden.get("steps").asInt(); step++) {
            String when = ", step " + step + ", " + optimizer.engine().description();
            JsonNode expected = golden.get("recorded").get(step);
            double loss = optimizer.step(closure);
            assertEquals(expected.get("loss").asText(), "%016x".formatted(Double.doubleToRawLongBits(loss)), "loss" + when);
            Map<String, Tensor> state = new LinkedHashMap<>(optimizer.state(parameters.getFirst()));
            double evaluations = state.remove("func_evals").get(0);
            assertEquals(expected.get("func_evals").asInt(), evaluations, "func_evals" + when);
            assertEquals(expected.get("n_iter").asInt(), state.remove("n_iter").get(0), "n_iter" + when);
            for (int i = 0; i < parameters.size(); i++) {
                state.put("param/" + i, parameters.get(i).value());
                assertTrue(i == 0 || optimizer.state(parameters.get(i)).isEmpty());
            }
            Map<String, String> hashes = new HashMap<>();
            expected.get("tensors").properties().forEach(tensor -> hashes.put(tensor.getKey(), tensor.getValue().asText()));
            assertEquals(hashes.keySet(), state.keySet(), when);
            state.forEach((key, tensor) -> assertEquals(hashes.get(key), GoldenInputs.hash(tensor.segment(),
                    Format.of(tensor.dtype().toString())), key + when));

            JsonNode stock = golden.get("stock").get(step);
            assertEquals(number(stock.get("loss")), loss, unit, "torch's own loss" + when);
            assertEquals(stock.get("func_evals").asInt(), evaluations, float64 ? 0 : 1, "torch's own func_evals" + when);
        }
    }

    private static double number(JsonNode hex) {
        return Double.longBitsToDouble(Long.parseUnsignedLong(hex.asText(), 16));
    }

    /** Sets the gradients, in new memory each time. */
    private static double evaluate(String function, List<Parameter> parameters, Set<Integer> absent, Arena arena) {
        double[] x = parameters.stream().map(Parameter::value).flatMapToDouble(value ->
                java.util.stream.LongStream.range(0, value.elements()).mapToDouble(value::get)).toArray();
        double[] gradient = new double[x.length];
        double loss = switch (function) {
            case "rosenbrock" -> rosenbrock(x, gradient);
            case "quadratic" -> quadratic(x, gradient);
            case "logistic" -> logistic(x, gradient);
            default -> throw new AssertionError(function);
        };
        int first = 0;
        for (int i = 0; i < parameters.size(); i++) {
            Tensor value = parameters.get(i).value();
            Tensor given = Tensor.zeros(arena, value.dtype(), value.shape());
            for (long k = 0; k < value.elements(); k++) {
                given.set(k, gradient[first++]);
            }
            parameters.get(i).gradient(absent.contains(i) ? null : given);
        }
        return loss;
    }

    private static double rosenbrock(double[] x, double[] gradient) {
        double loss = 0;
        for (int i = 0; i < x.length - 1; i++) {
            double a = x[i + 1] - x[i] * x[i];
            double b = 1 - x[i];
            loss += 100 * a * a + b * b;
            gradient[i] += -400 * x[i] * a - 2 * b;
            gradient[i + 1] += 200 * a;
        }
        return loss;
    }

    private static double quadratic(double[] x, double[] gradient) {
        double loss = 0;
        for (int i = 0; i < x.length; i++) {
            double curvature = 1 + (i % 7) * (i % 11);
            double distance = x[i] - (i * 37 % 101 / 101.0 - 0.5);
            loss += 0.5 * curvature * distance * distance;
            gradient[i] = curvature * distance;
        }
        return loss;
    }

    private static double logistic(double[] x, double[] gradient) {
        double loss = 0;
        Arrays.setAll(gradient, j -> 0.02 * x[j]);
        for (double w : x) {
            loss += 0.01 * w * w;
        }
        for (int i = 0; i < 40; i++) {
            double[] features = new double[x.length];
            for (int j = 0; j < x.length; j++) {
                features[j] = i * (j + 3) * 17 % 23 / 23.0 - 0.5;
            }
            double label = i * 29 % 13 < 6 ? 1 : -1;
            double z = 0;
            for (int j = 0; j < x.length; j++) {
                z += x[j] * features[j];
            }
            double e = libm.exp(-label * z);
            loss += CMath.log(1 + e) / 40;
            for (int j = 0; j < x.length; j++) {
                gradient[j] += -label * features[j] * (e / (1 + e)) / 40;
            }
        }
        return loss;
    }

    private static List<JsonNode> elements(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false).toList();
    }
}
