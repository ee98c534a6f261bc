package io.panoptim.tools.replay;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.engine.cpu.CpuEngine;
import io.panoptim.engine.cpu.Isa;
import io.panoptim.golden.GoldenInputs;
import io.panoptim.golden.GoldenInputs.Format;
import io.panoptim.golden.GoldenInputs.Kind;
import io.panoptim.golden.GoldenInputs.Stream;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.SophiaG;
import io.panoptim.schedule.LRScheduler;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import io.panoptim.tools.SchedulerKind;
import io.panoptim.train.GradientClipper;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The engines repeat the traces recorded from PyTorch: parameters, states and learning rates, after every step. */
@Tag("native")
class GoldenTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** What stands in a row for a tensor that is compared at the end only, within a bound. */
    private static final String BOUNDED = "~";

    private static final Set<String> MULTIPLYING = Set.of("Dion", "Muon", "MuonWithAuxAdam", "NorMuon", "SOAP", "Shampoo");

    static List<Named<JsonNode>> cases() throws IOException {
        return cases(Integer.MAX_VALUE);
    }

    /** On the stand-in for a GPU the first of each file: that the CUDA engine has the reference engine's bits is tested elsewhere. */
    static List<Named<JsonNode>> cudaCases() throws IOException {
        return cases(TestEngines.isCudaSlow() ? 1 : Integer.MAX_VALUE);
    }

    private static List<Named<JsonNode>> cases(int most) throws IOException {
        List<Named<JsonNode>> cases = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(Path.of("src/test/golden"), "*.json")) {
            for (Path file : files) {
                elements(JSON.readTree(file.toFile()).path("cases")).stream().limit(most)
                        .forEach(trace -> cases.add(Named.of(trace.get("name").asText(), trace)));
            }
        }
        return cases;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void theReferenceEngineHasTorchsBits(JsonNode golden, @TempDir Path folder) throws IOException {
        repeat(golden, folder, TestEngines.reference());
    }

    @ParameterizedTest
    @MethodSource("cases")
    void everyTierOfTheCpuEngineHasTorchsBits(JsonNode golden, @TempDir Path folder) throws IOException {
        boolean multiplies = MULTIPLYING.contains(golden.path("config").path("optimizer").asText());
        List<Isa> tiers = multiplies ? TestEngines.multiplyingTiers() : TestEngines.tiers();
        assumeTrue(!tiers.isEmpty(), "there is no OpenBLAS here");
        for (Isa isa : tiers) {
            try (CpuEngine engine = TestEngines.open(isa, 2, 16)) {
                repeat(golden, folder, engine);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("cudaCases")
    void theCudaEngineHasTorchsBits(JsonNode golden, @TempDir Path folder) throws IOException {
        repeat(golden, folder, TestEngines.mirror());
    }

    private static void repeat(JsonNode golden, Path folder, Engine engine) throws IOException {
        Path config = Files.writeString(folder.resolve("config.json"), golden.get("config").toString());
        try (Arena arena = Arena.ofShared()) {
            repeat(golden, ReplayConfig.read(config), engine, arena);
        }
    }

    private static void repeat(JsonNode golden, ReplayConfig config, Engine engine, Arena arena) {
        DType dtype = DType.valueOf(golden.get("dtype").asText().toUpperCase(Locale.ROOT));
        Format format = Format.of(dtype.toString());
        Kind kind = Kind.of(golden.get("kind").asText());
        long seed = golden.get("seed").asLong();
        Map<String, Parameter> parameters = new LinkedHashMap<>();
        Map<String, Tensor> gradients = new LinkedHashMap<>();
        for (JsonNode tensor : golden.get("tensors")) {
            long[] shape = elements(tensor.get("shape")).stream().mapToLong(JsonNode::asLong).toArray();
            Tensor value = Tensor.zeros(arena, dtype, shape);
            GoldenInputs.fill(value.segment(), format, kind, seed, Stream.PARAM, parameters.size(), 0);
            String name = tensor.get("name").asText();
            parameters.put(name, Parameter.of(name, value));
            gradients.put(name, Tensor.zeros(arena, dtype, shape));
        }
        Set<String> sparse = elements(golden.path("sparse")).stream().map(JsonNode::asText).collect(Collectors.toSet());
        Set<String> absent = elements(golden.get("absent")).stream()
                .map(pair -> pair.get(0).asInt() + " " + pair.get(1).asText()).collect(Collectors.toSet());
        List<List<Parameter>> groups = config.grouped(parameters.keySet()).stream()
                .map(names -> names.stream().map(parameters::get).toList()).toList();
        try (Optimizer optimizer = config.optimizer().make(engine, groups);
                GradientClipper clipper = GradientClipper.of(engine, List.copyOf(parameters.values()))) {
            optimizer.train();
            LRScheduler scheduler = config.scheduler().map(keys -> SchedulerKind.attach(optimizer, keys)).orElse(null);
            List<String> columns = List.of(golden.get("columns").asText().split(" "));
            String lrs = "";
            for (int step = 0; step < golden.get("steps").asInt(); step++) {
                String when = golden.get("name").asText() + ", step " + step + ", " + engine.description();
                int index = 0;
                for (Parameter parameter : parameters.values()) {
                    boolean isSparse = sparse.contains(parameter.name());
                    SparseGradient rows = isSparse ? rows(parameter, seed, index, step, arena) : null;
                    Tensor gradient = rows == null ? gradients.get(parameter.name()) : rows.values();
                    GoldenInputs.fill(gradient.segment(), format, kind, seed, Stream.GRAD, index++, step);
                    if (absent.contains(step + " " + parameter.name())) {
                        parameter.gradient(null);
                    } else if (rows != null) {
                        parameter.sparseGradient(rows);
                    } else {
                        parameter.gradient(gradient);
                    }
                }
                JsonNode changed = golden.get("lr").get("" + step);
                lrs = changed == null ? lrs : changed.asText();
                assertEquals(lrs, optimizer.paramGroups().stream().map(ParamGroup::lr)
                        .map(lr -> "%016x".formatted(Double.doubleToRawLongBits(lr))).collect(Collectors.joining(" ")), when);
                if (isListed(golden, "eval", step - 1)) {
                    optimizer.train();
                }
                config.clip().ifPresent(clip -> clipper.clipGradNorm(clip.maxNorm(), clip.normType(), false));
                optimizer.step();
                if (scheduler != null) {
                    scheduler.step();
                }
                if (isListed(golden, "hessian", step)) {
                    index = 0;
                    for (Parameter parameter : parameters.values()) {
                        Tensor sample = gradients.get(parameter.name());
                        GoldenInputs.fill(sample.segment(), format, kind, seed, Stream.HESSIAN, index++, step);
                        parameter.gradient(sample);
                    }
                    ((SophiaG) optimizer).updateHessian();
                }
                if (isListed(golden, "eval", step)) {
                    optimizer.eval();
                }
                if (!golden.has("relative")) {
                    compare(columns, golden.get("rows").get(step).asText(), tensors(optimizer, parameters), when);
                }
            }
            if (golden.has("relative")) {
                compareNear(golden, tensors(optimizer, parameters));
            } else {
                compareFinal(golden, tensors(optimizer, parameters));
            }
        }
    }

    private static boolean isListed(JsonNode golden, String key, int step) {
        return elements(golden.path(key)).stream().anyMatch(listed -> listed.asInt() == step);
    }

    /** A sparse gradient without its values. */
    private static SparseGradient rows(Parameter parameter, long seed, int tensor, int step, Arena arena) {
        long[] shape = parameter.value().shape();
        long[] indices = GoldenInputs.indices(seed, tensor, step, shape[0]);
        shape[0] = indices.length;
        return new SparseGradient(Tensor.of(arena.allocateFrom(ValueLayout.JAVA_LONG, indices), DType.INT64, indices.length),
                Tensor.zeros(arena, parameter.value().dtype(), shape));
    }

    /** Everything there is, under the names of the columns. */
    private static Map<String, Tensor> tensors(Optimizer optimizer, Map<String, Parameter> parameters) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        parameters.forEach((name, parameter) -> {
            tensors.put("param/" + name, parameter.value());
            optimizer.state(parameter).forEach((key, state) -> tensors.put("state/" + name + "/" + key, state));
        });
        return tensors;
    }

    private static void compare(List<String> columns, String row, Map<String, Tensor> tensors, String when) {
        String[] expected = row.split(" ");
        for (int i = 0; i < columns.size(); i++) {
            Tensor tensor = tensors.get(columns.get(i));
            String found = tensor == null ? "-" : expected[i].equals(BOUNDED) ? BOUNDED : columns.get(i).endsWith("/step") ? "" + (long) tensor.get(0)
                    : GoldenInputs.hash(tensor.segment(), Format.of(tensor.dtype().toString()));
            assertEquals(expected[i], found, columns.get(i) + ", " + when);
        }
        assertTrue(columns.containsAll(tensors.keySet()), "no more state than torch's, " + when);
    }

    private static void compareFinal(JsonNode golden, Map<String, Tensor> tensors) {
        Set<String> bounded = elements(golden.path("bound").path("columns")).stream().map(JsonNode::asText).collect(Collectors.toSet());
        golden.get("final").properties().forEach(entry -> {
            Tensor tensor = tensors.get(entry.getKey());
            String[] path = entry.getKey().split("/");
            if (bounded.contains(path.length == 2 ? path[0] : path[2])) {
                assertNear(entry.getValue().asText(), tensor, golden.get("bound").get("ulp").asDouble(), entry.getKey());
            } else {
                assertEquals(entry.getValue().asText(), GoldenInputs.hex(tensor.segment(), Format.of(tensor.dtype().toString())),
                        entry.getKey());
            }
        });
    }

    /** Every tensor there is, each value within a part of its tensor's largest. */
    private static void compareNear(JsonNode golden, Map<String, Tensor> tensors) {
        JsonNode expected = golden.get("final");
        double relative = golden.get("relative").asDouble();
        Set<String> names = expected.properties().stream().map(Map.Entry::getKey).collect(Collectors.toSet());
        assertEquals(names, tensors.keySet(), "as much state as the source has");
        Set<String> arbitrary = elements(golden.path("arbitrary")).stream().map(JsonNode::asText).collect(Collectors.toSet());
        expected.properties().forEach(entry -> {
            if (arbitrary.contains(entry.getKey().substring(entry.getKey().lastIndexOf('/') + 1).replaceAll("\\.\\d+$", ""))) {
                return;
            }
            Tensor found = tensors.get(entry.getKey()).rowMajor(Arena.ofAuto());
            double[] values = GoldenInputs.values(entry.getValue().asText());
            assertEquals(values.length, found.elements(), entry.getKey());
            double largest = Arrays.stream(values).map(Math::abs).max().orElseThrow();
            assertTrue(Double.isFinite(largest), entry.getKey());
            for (int i = 0; i < values.length; i++) {
                double distance = Math.abs(found.get(i) - values[i]);
                assertTrue(distance <= relative * largest, golden.get("name").asText() + ": " + entry.getKey() + "[" + i + "] is "
                        + found.get(i) + " instead of " + values[i] + ": off by " + distance / largest);
            }
        });
    }

    /** The bound is in units in the last place of the tensor's largest value. */
    private static void assertNear(String expected, Tensor found, double ulp, String what) {
        double[] values = Arrays.stream(expected.split(" ")).mapToLong(hex -> Long.parseUnsignedLong(hex, 16))
                .mapToDouble(bits -> found.dtype() == DType.FLOAT64 ? Double.longBitsToDouble(bits) : Float.intBitsToFloat((int) bits))
                .toArray();
        double largest = DoubleStream.of(values).map(Math::abs).max().orElse(0);
        double unit = found.dtype() == DType.FLOAT64 ? Math.ulp(largest) : Math.ulp((float) largest);
        for (int i = 0; i < values.length; i++) {
            assertEquals(values[i], found.get(i), ulp * unit, what + ", element " + i);
        }
    }

    private static List<JsonNode> elements(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false).toList();
    }
}
