package io.panoptim.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.panoptim.TestEngines;
import io.panoptim.golden.GoldenInputs;
import io.panoptim.golden.GoldenInputs.Format;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.Hyperparameter;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.SGD;
import io.panoptim.optim.Schedulable;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import io.panoptim.tools.JsonKeys;
import io.panoptim.tools.SchedulerKind;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every scheduler does what was recorded from torch, transformers, timm or pytorch_optimizer, to the last bit, over 500 steps;
 * goes on from its own and from their state; and has their closed form. The records are described in
 * src/test/golden/schedulers/README.md.
 */
class SchedulerGoldenTest {
    private static final ObjectMapper JSON = JsonMapper.builder().enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS).build();
    private static final int STEPS = 500;
    private static final int SAVED = 137;
    private static final int BLOCK = 20;

    static List<Named<JsonNode>> cases() throws IOException {
        List<Named<JsonNode>> cases = new ArrayList<>();
        for (String file : List.of("torch.json", "practice.json")) {
            for (JsonNode recorded : JSON.readTree(Path.of("src/test/golden/schedulers", file).toFile()).path("cases")) {
                cases.add(Named.of(recorded.get("name").asText(), recorded));
            }
        }
        assertTrue(cases.size() > 90);
        return cases;
    }

    static Stream<Named<JsonNode>> casesWithState() throws IOException {
        return cases().stream().filter(named -> named.getPayload().has("state"));
    }

    static Stream<Named<JsonNode>> casesWithClosedForm() throws IOException {
        return cases().stream().filter(named -> named.getPayload().has("closed"));
    }

    /** Those that need no momentum and no function of a library. */
    static Stream<Named<JsonNode>> casesForAnyHyperparameter() throws IOException {
        Predicate<JsonNode> cyclesMomentum = recorded -> recorded.get("fields").toString().contains("momentum");
        return cases().stream().filter(named -> named.getPayload().has("fields") && !named.getPayload().has("last_epoch")
                && !cyclesMomentum.test(named.getPayload()));
    }

    /** A scheduler of an optimizer of two groups. */
    private static final class Run implements AutoCloseable {
        private final JsonNode recorded;
        private final Arena arena = Arena.ofConfined();
        final Optimizer optimizer;
        final LRScheduler scheduler;

        Run(JsonNode recorded) {
            this(recorded, "lr");
        }

        Run(JsonNode recorded, String name) {
            this.recorded = recorded;
            List<Double> values = IntStream.range(0, 2).mapToObj(i -> recorded.get("lrs").get(i).doubleValue()).toList();
            optimizer = recorded.get("optimizer").asText().equals("SGD") ? sgd() : adamW();
            Hyperparameter scheduled = optimizer.hyperparameter(name);
            for (int i = 0; i < 2; i++) {
                ParamGroup group = optimizer.paramGroups().get(i);
                scheduled.set(group, values.get(i));
                if (recorded.has("last_epoch")) {
                    group.field("initial_lr", values.get(i));
                    scheduled.set(group, values.get(i) / 2);
                    scheduled = scheduled.withLastEpoch(recorded.get("last_epoch").longValue());
                }
            }
            Schedulable given = name.equals("lr") && !recorded.has("last_epoch") ? optimizer : scheduled;
            scheduler = SchedulerKind.attach(given, JsonKeys.parse("scheduler", recorded.get("scheduler").toString()));
        }

        private SGD sgd() {
            SGD.Options options = SGD.Options.defaults().withMomentum(0.9);
            SGD sgd = new SGD(TestEngines.reference(), List.of(parameter()), options);
            sgd.addParamGroup(List.of(parameter()), options);
            return sgd;
        }

        private AdamW adamW() {
            AdamW.Options options = AdamW.Options.defaults();
            AdamW adamW = new AdamW(TestEngines.reference(), List.of(parameter()), options);
            adamW.addParamGroup(List.of(parameter()), options);
            return adamW;
        }

        private Parameter parameter() {
            return Parameter.of(Tensor.zeros(arena, DType.FLOAT32, 1));
        }

        void step(int step) {
            optimizer.step();
            if (recorded.has("fractions")) {
                ((CosineAnnealingWarmRestarts) scheduler).step((step + 1) * 11 / 32.0);
            } else if (recorded.has("metric")) {
                scheduler.stepWithMetric(metric(step, recorded.get("metric").asText()));
            } else {
                scheduler.step();
            }
        }

        double[] watched(String name) {
            String momentum = optimizer instanceof SGD ? "momentum" : "betas[0]";
            return optimizer.paramGroups().stream().flatMap(group -> Stream.of(name, momentum)
                    .map(each -> optimizer.hyperparameter(each).get(group))).mapToDouble(Double::doubleValue).toArray();
        }

        /** What a checkpoint of the optimizer would bring back. */
        void restore(Run other) {
            for (int i = 0; i < 2; i++) {
                ParamGroup mine = optimizer.paramGroups().get(i);
                ParamGroup theirs = other.optimizer.paramGroups().get(i);
                theirs.optionNames().forEach(option -> mine.set(option, theirs.get(option)));
                theirs.fields().forEach(mine::field);
            }
        }

        @Override
        public void close() {
            optimizer.close();
            arena.close();
        }
    }

    private static double metric(int step, String kind) {
        double value = (step * 7919 % 101) / 64.0 + Math.max(0, 240 - step) / 4.0;
        return kind.equals("rising") ? -value : kind.equals("broken") && step % 50 == 49 ? Double.NaN : value;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void everyStepHasTheRecordedBits(JsonNode recorded) {
        try (Run run = new Run(recorded)) {
            assertRepeats(recorded, run, new ArrayList<>(List.of(run.watched("lr"))), 0, "lr");
        }
    }

    @ParameterizedTest
    @MethodSource("casesForAnyHyperparameter")
    void anotherHyperparameterIsScheduledLikeTheLearningRate(JsonNode recorded) {
        try (Run run = new Run(recorded, "weight_decay")) {
            assertRepeats(recorded, run, new ArrayList<>(List.of(run.watched("weight_decay"))), 0, "weight_decay");
            assertEquals(1e-3, run.optimizer.paramGroups().getFirst().lr());
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void aSavedStateGoesOnExactly(JsonNode recorded) throws IOException {
        try (Run first = new Run(recorded); Run second = new Run(recorded)) {
            List<double[]> rows = until(first, SAVED);
            JsonNode plain = JSON.valueToTree(first.scheduler.stateDict());
            second.restore(first);
            second.scheduler.loadStateDict(map(plain));
            assertEquals(plain, JSON.valueToTree(second.scheduler.stateDict()));
            assertRepeats(recorded, second, rows, SAVED, "lr");
        }
    }

    @ParameterizedTest
    @MethodSource("casesWithState")
    void theStateIsTheirsUnderTheirKeys(JsonNode recorded) throws IOException {
        try (Run first = new Run(recorded); Run second = new Run(recorded)) {
            List<double[]> rows = until(first, SAVED);
            assertEquals(flat(recorded.get("state")), flat(JSON.valueToTree(first.scheduler.stateDict())));
            for (int i = 0; i < 2; i++) {
                assertEquals(flat(recorded.get("fields").get(i)), flat(JSON.valueToTree(first.optimizer.paramGroups().get(i)
                        .fields())));
            }
            second.restore(first);
            second.scheduler.loadStateDict(map(recorded.get("state")));
            assertRepeats(recorded, second, rows, SAVED, "lr");
        }
    }

    @ParameterizedTest
    @MethodSource("casesWithClosedForm")
    void theClosedFormHasTheRecordedBits(JsonNode recorded) {
        try (Run run = new Run(recorded)) {
            double[] values = IntStream.rangeClosed(0, STEPS).boxed()
                    .flatMap(epoch -> Stream.of(run.scheduler.closedForm(epoch, 0), run.scheduler.closedForm(epoch, 1)))
                    .mapToDouble(Double::doubleValue).toArray();
            assertEquals(recorded.get("closed").asText(), hash(values));
        }
    }

    /** Where rounding and what has happened before are all that they differ by. */
    @ParameterizedTest
    @MethodSource("cases")
    void theClosedFormIsWhereTheStepsLead(JsonNode recorded) {
        String name = recorded.get("name").asText();
        if (recorded.has("metric") || recorded.has("last_epoch") || recorded.has("fractions")
                // recursions that a closed form cannot follow
                || List.of("SequentialLR-chained", "SequentialLR-cycles", "ChainedScheduler-lambda", "SequentialLR-nested", "SequentialLR-recursive", "ChainedScheduler-many",
                        "CosineAnnealingLR-1", "SequentialLR-at-0").contains(name)) {
            return;
        }
        try (Run run = new Run(recorded)) {
            for (int step = 0; step < STEPS; step++) {
                for (int group = 0; group < 2; group++) {
                    double expected = run.optimizer.paramGroups().get(group).lr();
                    double actual = run.scheduler.closedForm(step, group);
                    assertEquals(expected, actual, 1e-9 * Math.abs(expected) + 1e-15, () -> name);
                }
                run.step(step);
            }
        }
    }

    private static List<double[]> until(Run run, int steps) {
        List<double[]> rows = new ArrayList<>(List.of(run.watched("lr")));
        for (int step = 0; step < steps; step++) {
            run.step(step);
            rows.add(run.watched("lr"));
        }
        return rows;
    }

    private static void assertRepeats(JsonNode recorded, Run run, List<double[]> rows, int first, String name) {
        for (int step = first; step < STEPS; step++) {
            run.step(step);
            rows.add(run.watched(name));
        }
        recorded.get("bits").properties().forEach(each -> {
            List<String> expected = new ArrayList<>();
            each.getValue().forEach(bits -> expected.add(bits.asText()));
            List<String> actual = IntStream.range(0, 4).mapToObj(i -> String.format("%016x",
                    Double.doubleToRawLongBits(rows.get(Integer.parseInt(each.getKey()))[i]))).toList();
            assertEquals(expected, actual, "epoch " + each.getKey());
        });
        String hashes = recorded.get("hashes").asText();
        for (int i = 0; i < rows.size(); i += BLOCK) {
            double[] block = rows.subList(i, Math.min(i + BLOCK, rows.size())).stream()
                    .flatMap(row -> IntStream.range(0, row.length).mapToObj(j -> row[j])).mapToDouble(Double::doubleValue).toArray();
            int at = i / BLOCK * 8;
            assertEquals(hashes.substring(at, at + 8), hash(block), "epochs " + i + " to " + (i + BLOCK - 1));
        }
    }

    private static String hash(double[] values) {
        return GoldenInputs.hash(MemorySegment.ofArray(values), Format.FLOAT64);
    }

    private static Map<String, @Nullable Object> map(JsonNode node) throws IOException {
        @SuppressWarnings("unchecked")
        Map<String, @Nullable Object> map = JSON.treeToValue(node, LinkedHashMap.class);
        return map;
    }

    /** Paths and values, numbers as doubles; lists of functions are left out, since theirs have attributes. */
    private static Map<String, String> flat(JsonNode node) {
        Map<String, String> flat = new TreeMap<>();
        flatten("", node, flat);
        return flat;
    }

    private static void flatten(String path, JsonNode node, Map<String, String> flat) {
        if (path.endsWith("lr_lambdas")) {
            flat.put(path, Integer.toString(node.size()));
        } else if (node.isObject()) {
            node.properties().forEach(entry -> flatten(path + "." + entry.getKey(), entry.getValue(), flat));
        } else if (node.isArray()) {
            IntStream.range(0, node.size()).forEach(i -> flatten(path + "[" + i + "]", node.get(i), flat));
        } else {
            flat.put(path, node.isNumber() ? Double.toString(node.doubleValue()) : node.toString());
        }
    }
}
