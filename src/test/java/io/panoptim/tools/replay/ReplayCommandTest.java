package io.panoptim.tools.replay;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.panoptim.checkpoint.SafeTensors;
import io.panoptim.engine.EngineProvider;
import io.panoptim.engine.Engines;
import io.panoptim.optim.matrix.Dion;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import io.panoptim.tools.Tool;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ReplayCommandTest {
    private static final Path RECORDED = Path.of("src/test/resources/io/panoptim/tools/replay");
    private static final String SGD = "{\"optimizer\": \"SGD\"}";

    @TempDir
    private Path folder;
    private String output = "";
    private String errors = "";

    @ParameterizedTest
    @ValueSource(strings = {"sgd", "sgd-multistep", "adamw", "adam-groups", "sparse-adam", "sparse-sgd", "lbfgs", "lbfgs-absent", "sophiag",
        "adamw-schedule-free"})
    void repeatsWhatTorchDid(String run) throws IOException {
        for (String device : available()) {
            assertEquals(0, recorded(run, "--device", device, "--expect", file(run, "EXPECTED").toString()), () -> errors);
            try (SafeTensors expected = SafeTensors.open(file(run, "EXPECTED")); SafeTensors found = SafeTensors.open(out())) {
                assertEquals(expected.tensors().keySet(), found.tensors().keySet());
                expected.tensors().keySet().forEach(name -> assertTrue(output.contains(
                        name + ": 0 of " + found.tensor(name).elements() + " values differ, largest difference 0 ulp"), name));
                ObjectMapper json = new ObjectMapper();
                assertArrayEquals(json.readValue(expected.metadata().get("lr"), double[][].class),
                        json.readValue(found.metadata().get("lr"), double[][].class));
            }
            assertEquals("", errors);
        }
    }

    private static List<String> available() {
        return Engines.providers().stream().filter(provider -> provider.unavailable().isEmpty()).map(EngineProvider::name).toList();
    }

    @Test
    void theCpuEngineGivesTheBitsOfTheReference() throws IOException {
        Optional<String> reason = Engines.providers().stream().filter(provider -> provider.name().equals("cpu")).findFirst()
                .orElseThrow().unavailable();
        assumeTrue(reason.isEmpty(), () -> reason.orElseThrow());
        String config = """
                {"optimizer": "Adam", "defaults": {"amsgrad": true, "weight_decay": 0.1}}""";
        for (DType dtype : List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16)) {
            Map<String, Tensor> trace = new LinkedHashMap<>();
            for (String key : List.of("param/a", "grad/0/a", "grad/1/a", "grad/3/a")) {
                Tensor tensor = Tensor.zeros(Arena.ofAuto(), dtype, 3, 7);
                for (int i = 0; i < 21; i++) {
                    tensor.set(i, Math.sin(i + key.hashCode()));
                }
                trace.put(key, tensor);
            }
            assertEquals(0, replay(config, trace, "--device", "reference"), () -> errors);
            Path reference = Files.move(out(), folder.resolve("reference " + dtype));
            assertEquals(0, replay(config, trace, "--device", "cpu", "--expect", reference.toString()), () -> errors);
        }
    }

    /** Dion's Q lies in memory column by column. */
    @Test
    void writesStatesRowByRow() throws IOException {
        Tensor zeros = Tensor.zeros(Arena.ofAuto(), DType.FLOAT32, 5, 4);
        String config = """
                {"optimizer": "Dion", "defaults": {"rank_fraction": 0.5}}""";
        assertEquals(0, replay(config, Map.of("param/a", zeros, "grad/0/a", zeros), "--device", "reference"), () -> errors);
        Parameter parameter = Parameter.of(zeros).gradient(Tensor.zeros(Arena.ofAuto(), DType.FLOAT32, 5, 4));
        try (SafeTensors found = SafeTensors.open(out());
                Dion dion = new Dion(Engines.named("reference"), List.of(parameter), Dion.Options.defaults().withRankFraction(0.5))) {
            dion.step();
            Tensor q = dion.state(parameter).get("Q");
            assertEquals("F32[4, 2]", found.tensors().get("state/a/Q").toString());
            for (int i = 0; i < 8; i++) {
                assertEquals(q.get(i % 2 * 4 + i / 2), found.tensor("state/a/Q").get(i));
            }
        }
        Path first = Files.move(out(), folder.resolve("first"));
        assertEquals(0, replay(config, Map.of("param/a", zeros, "grad/0/a", zeros), "--device", "reference", "--expect", first.toString()),
                () -> errors);
    }

    @Test
    void writesShapesAndStepsAsTorch() throws IOException {
        assertEquals(0, recorded("adam-groups"), () -> errors);
        assertEquals(out() + ": 13 tensors after 6 steps\n", output);
        try (SafeTensors found = SafeTensors.open(out())) {
            assertEquals("F32[]", found.tensors().get("state/matrix/step").toString());
            assertEquals(5, found.tensor("state/matrix/step").get(0));
            assertEquals(4, found.tensor("state/three/step").get(0));
            assertEquals("F32[2, 3]", found.tensors().get("state/matrix/max_exp_avg_sq").toString());
            assertFalse(found.tensors().containsKey("state/three/max_exp_avg_sq"));
            assertEquals("F32[]", found.tensors().get("state/scalar/exp_avg").toString());
        }
    }

    @Test
    void aParameterThatNeverHasAGradientHasNoStateAndStaysAsItWas() throws IOException {
        assertEquals(0, replay("""
                {"optimizer": "AdamW"}""", Map.of("param/a", floats(1, 2), "grad/2/a", floats(3, 4), "param/b", floats(5),
                "param/none", floats())), () -> errors);
        try (SafeTensors found = SafeTensors.open(out())) {
            assertEquals(5, found.tensor("param/b").get(0));
            assertEquals(1, found.tensor("state/a/step").get(0));
            assertTrue(found.tensors().keySet().stream().noneMatch(name -> name.startsWith("state/b")));
            assertEquals("[[0.001], [0.001], [0.001]]", found.metadata().get("lr"));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {
        """
        {"optimizer": "AdamW", "defaults": {"lr": 1, "betas": [0.9, 0.999], "eps": 1e-08, "weight_decay": 0, "amsgrad": false,
         "foreach": null, "maximize": false, "capturable": false, "differentiable": false, "fused": null,
         "decoupled_weight_decay": true}, "metrics": [NaN, -Infinity, 0.5]}""",
        """
        {"optimizer": "Adam", "defaults": {"decoupled_weight_decay": true, "eps": Infinity}}""",
        """
        {"optimizer": "SGD", "param_groups": [{"params": ["b", "a"], "lr": 0.5, "foreach": true}],
         "scheduler": {"name": "StepLR", "step_size": 1, "last_epoch": -1}}"""})
    void takesWhatTorchUsersPaste(String config) throws IOException {
        assertEquals(0, replay(config, trace()), () -> errors);
    }

    @ParameterizedTest
    @CsvSource({"2, -3, -4, 5", "1, -3.5, -3.5, 7", "Infinity, -3, -4, 4", "'\"inf\"', -3, -4, 4"})
    void clipsTheGradientsOfAllParametersBeforeEachStep(String normType, double a, double b, double norm) throws IOException {
        for (String device : List.of("reference", "cpu")) {
            if (available().contains(device)) {
                assertEquals(0, replay("""
                        {"optimizer": "SGD", "defaults": {"lr": 1}, "clip_grad_norm": {"max_norm": %s, "norm_type": %s}}""".formatted(
                        norm / 2, normType), Map.of("param/a", floats(0), "param/b", floats(0), "grad/0/a", floats((float) a), "grad/0/b",
                        floats((float) b)), "--device", device), () -> errors);
                try (SafeTensors found = SafeTensors.open(out())) {
                    assertEquals(-a / 2, found.tensor("param/a").get(0), 1e-5);
                    assertEquals(-b / 2, found.tensor("param/b").get(0), 1e-5);
                }
            }
        }
    }

    @Test
    void doesNotClipWhatIsEvaluatedWithinAStep() throws IOException {
        assertEquals(2, replay(lbfgs().replaceFirst("\\{", "{\"clip_grad_norm\": {\"max_norm\": 1},"), closures()));
        assertRefused("replay: clip_grad_norm clips before a step, and this trace's gradients come within it: record them clipped");
    }

    @Test
    void aPlateauWatchesTheMetrics() throws IOException {
        Map<String, Tensor> trace = new LinkedHashMap<>(Map.of("param/a", floats(1)));
        for (int step = 0; step < 5; step++) {
            trace.put("grad/" + step + "/a", floats(1));
        }
        assertEquals(0, replay("""
                {"optimizer": "SGD", "defaults": {"lr": 0.5}, "metrics": [3, 2, 2, 2, 2], "scheduler": {"name": "WarmupLR",
                 "warmup_steps": 1, "scheduler": {"name": "ReduceLROnPlateau", "patience": 0, "factor": 0.5}}}""", trace), () -> errors);
        try (SafeTensors found = SafeTensors.open(out())) {
            assertEquals("[[0.0], [0.5], [0.5], [0.25], [0.125]]", found.metadata().get("lr"));
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "[]|$: expected an object, found []",
        "{'optimizer': 'SGD'|not valid JSON: Unexpected end-of-input: expected close marker for Object (start marker at [line: 1, "
                + "column: 1]) (line 1, column 20)",
        "{'optimizer': 'SGD', 'optimizer': 'Adam'}|not valid JSON: Duplicate field 'optimizer' (line 1, column 33)",
        "{}|$: 'optimizer' is missing",
        "{'optimizer': 3}|$.optimizer: expected a string, found 3",
        "{'optimizer': 'Foo'}|$.optimizer: no optimizer 'Foo' in this version: it has [OPTIMIZERS]",
        "{'optimizer': 'SGD', 'default': {}}|$.default: unknown key: expected one of [optimizer, defaults, param_groups, scheduler, "
                + "clip_grad_norm, metrics]",
        "{'optimizer': 'SGD', 'defaults': []}|$.defaults: expected an object, found []",
        "{'optimizer': 'SGD', 'defaults': {'betas': [0.9, 0.99]}}|$.defaults.betas: unknown option: SGD has [lr, momentum, dampening, "
                + "weight_decay, nesterov, maximize, caution]",
        "{'optimizer': 'SGD', 'defaults': {'lr': '0.1'}}|"
                + "$.defaults.lr: expected a number, true, false or a list of numbers, found '0.1'",
        "{'optimizer': 'SGD', 'defaults': {'lr': true}}|$.defaults: SGD: option 'lr' takes a number, not true",
        "{'optimizer': 'SGD', 'defaults': {'lr': -1}}|$.defaults: SGD: Invalid learning rate: -1.0",
        "{'optimizer': 'SGD', 'defaults': {'lr': NaN}}|$.defaults: SGD: Invalid learning rate: NaN",
        "{'optimizer': 'SGD', 'defaults': {'lr': null}}|"
                + "$.defaults.lr: expected a number, true, false or a list of numbers, found null",
        "{'optimizer': 'Adam', 'defaults': {'betas': [0.9, 'x']}}|"
                + "$.defaults.betas: expected a number, true, false or a list of numbers, found [0.9,'x']",
        "{'optimizer': 'Adam', 'defaults': {'betas': [0.9, 0.99, 0.9]}}|$.defaults: Adam: option 'betas' takes 2 numbers, not 3",
        "{'optimizer': 'Adan', 'defaults': {'betas': [0.9, 0.99]}}|$.defaults: Adan: option 'betas' takes 3 numbers, not 2",
        "{'optimizer': 'ADOPT', 'defaults': {'clip_exp': true}}|$.defaults: ADOPT: option 'clip_exp' takes a number or none, not true",
        "{'optimizer': 'ADOPT', 'defaults': {'clip_exp': NaN}}|$.defaults: ADOPT: option 'clip_exp' takes a number or none, not NaN",
        "{'optimizer': 'Adan', 'defaults': {'caution': true}}|$.defaults.caution: expected false for Adan, found true",
        "{'optimizer': 'Adam', 'defaults': {'betas': [0.9, 1]}}|$.defaults: Adam: Invalid beta parameter at index 1: 1.0",
        "{'optimizer': 'SGD', 'defaults': {'foreach': 1}}|$.defaults.foreach: expected true, false or null, found 1",
        "{'optimizer': 'SGD', 'defaults': {'differentiable': true}}|"
                + "$.defaults.differentiable: expected false: this library does not differentiate through a step, found true",
        "{'optimizer': 'AdamW', 'defaults': {'decoupled_weight_decay': false}}|"
                + "$.defaults.decoupled_weight_decay: expected true for AdamW, found false",
        "{'optimizer': 'SGD', 'param_groups': []}|$.param_groups: expected at least one group, found []",
        "{'optimizer': 'SGD', 'param_groups': [{'lr': 1}]}|$.param_groups[0]: 'params' is missing",
        "{'optimizer': 'SGD', 'param_groups': [{'params': 'a'}]}|$.param_groups[0].params: expected a list, found 'a'",
        "{'optimizer': 'SGD', 'param_groups': [{'params': ['a', 0]}]}|$.param_groups[0].params[1]: expected a string, found 0",
        "{'optimizer': 'SGD', 'param_groups': [{'params': ['a']}, {'params': []}]}|"
                + "$.param_groups[1].params: expected at least one name, found []",
        "{'optimizer': 'SGD', 'param_groups': [{'params': ['a'], 'rho': 1}]}|$.param_groups[0].rho: unknown option: SGD has [lr, "
                + "momentum, dampening, weight_decay, nesterov, maximize, caution]",
        "{'optimizer': 'SGD', 'param_groups': [{'params': ['a'], 'nesterov': true}]}|"
                + "$.param_groups[0]: SGD: Nesterov momentum requires a momentum and zero dampening",
        "{'optimizer': 'SGD', 'param_groups': [{'params': ['a', 'c']}]}|$.param_groups[0].params: the trace has no 'param/c'",
        "{'optimizer': 'SGD', 'param_groups': [{'params': ['a']}, {'params': ['b', 'a']}]}|"
                + "$.param_groups[1].params: 'a' is listed twice: every parameter is in exactly one group",
        "{'optimizer': 'SGD', 'param_groups': [{'params': ['a']}]}|$.param_groups[0].params: neither this group nor one before lists "
                + "'b' of the trace: every parameter is in exactly one group",
        "{'optimizer': 'SGD', 'scheduler': 'StepLR'}|$.scheduler: expected an object, found 'StepLR'",
        "{'optimizer': 'SGD', 'scheduler': {'name': 'Foo'}}|"
                + "$.scheduler: no scheduler 'Foo' in this version: it has [SCHEDULERS]",
        "{'optimizer': 'SGD', 'scheduler': {'name': 'StepLR'}}|$.scheduler: 'step_size' is missing",
        "{'optimizer': 'SGD', 'scheduler': {'name': 'StepLR', 'step_size': 0}}|"
                + "$.scheduler: StepLR: Invalid step_size: 0, at least 1 is needed",
        "{'optimizer': 'SGD', 'scheduler': {'name': 'StepLR', 'step_size': 1.5}}|"
                + "$.scheduler.step_size: expected an integer, found 1.5",
        "{'optimizer': 'SGD', 'scheduler': {'name': 'StepLR', 'step_size': 1, 'gama': 1}}|"
                + "$.scheduler.gama: unknown key: expected one of [name, param_group_field, groups, step_size, gamma, "
                + "last_epoch]",
        "{'optimizer': 'SGD', 'scheduler': {'name': 'StepLR', 'step_size': 1, 'gamma': null}}|"
                + "$.scheduler.gamma: expected a number, found null",
        "{'optimizer': 'SGD', 'scheduler': {'name': 'StepLR', 'step_size': 1, 'last_epoch': 4}}|"
                + "$.scheduler.last_epoch: expected -1, since a run begins at the first step",
        "{'optimizer': 'SGD', 'scheduler': {'name': 'MultiStepLR', 'milestones': [1, 2.5]}}|"
                + "$.scheduler.milestones[1]: expected an integer, found 2.5",
        "{'optimizer': 'SGD', 'clip_grad_norm': 1.0}|$.clip_grad_norm: expected an object, found 1.0",
        "{'optimizer': 'SGD', 'clip_grad_norm': {'norm_type': 2}}|$.clip_grad_norm: 'max_norm' is missing",
        "{'optimizer': 'SGD', 'clip_grad_norm': {'max_norm': Infinity}}|"
                + "$.clip_grad_norm.max_norm: expected a finite number that is not negative, found Infinity",
        "{'optimizer': 'SGD', 'clip_grad_norm': {'max_norm': 1, 'norm_type': 0}}|"
                + "$.clip_grad_norm.norm_type: expected a number more than 0, or infinity, found 0.0",
        "{'optimizer': 'SGD', 'clip_grad_norm': {'max_norm': 1, 'norm_type': 'all'}}|"
                + "$.clip_grad_norm.norm_type: expected a number, found 'all'",
        "{'optimizer': 'SGD', 'clip_grad_norm': {'max_norm': 1, 'foreach': true}}|"
                + "$.clip_grad_norm.foreach: unknown key: expected one of [max_norm, norm_type]",
        "{'optimizer': 'SGD', 'scheduler': {'name': 'ReduceLROnPlateau'}}|"
                + "$.metrics: ReduceLROnPlateau watches a value after each step: expected at least 1, found 0",
        "{'optimizer': 'SGD', 'scheduler': {'name': 'SequentialLR', 'milestones': [], 'schedulers': [{'name': 'StepLR'}]}}|"
                + "$.scheduler.schedulers[0]: 'step_size' is missing",
        "{'optimizer': 'SGD', 'metrics': [0.5, 'x']}|$.metrics[1]: expected a number, found 'x'",
    })
    void refusesAConfiguration(String config, String message) throws IOException {
        assertEquals(2, replay(config.replace('\'', '"'), trace()));
        assertRefused("replay: " + folder.resolve("config") + ": " + Tool.withNames(message));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "grad/0/c|FLOAT32|: 'param/c' is missing",
        "grad/1/a|FLOAT64|` is F64[2]: expected F32[2], as 'param/a'`",
        "grad/01/a|FLOAT32|: expected param/<name>, grad/<step>/<name> or hessian/<step>/<name>",
        "grad/a|FLOAT32|: expected param/<name>, grad/<step>/<name> or hessian/<step>/<name>",
        "grads/0/a|FLOAT32|: expected param/<name>, grad/<step>/<name> or hessian/<step>/<name>",
        "hessian/01/a|FLOAT32|: expected param/<name>, grad/<step>/<name> or hessian/<step>/<name>",
        "hessian/0/a|FLOAT32|: SGD takes no samples of the Hessian, SophiaG does",
        "hessian/0/a|FLOAT64|` is F64[2]: expected F32[2], as 'param/a'`",
        "hessian/0/c|FLOAT32|: 'param/c' is missing",
        "loss/0/0|FLOAT32|` is F32[2]: expected one value of F32, F64, BF16 or F16`",
        "loss/0|FLOAT32|: expected loss/<step>/<evaluation>",
        "loss/0/0/0|FLOAT32|: expected loss/<step>/<evaluation>",
        "loss/0/00|FLOAT32|: expected loss/<step>/<evaluation>",
        "grad/0/1/a|FLOAT32|: 'loss/0/1' is missing",
        "grad/0/1/c|FLOAT32|: 'param/1/c' is missing",
        "grad/0/a.values|FLOAT32|: 'grad/0/a.indices' is missing",
        "grad/0/a.indices|INT64|: 'grad/0/a.values' is missing",
        "grad/0/c.indices|INT64|: 'param/c.indices' is missing",
        "param/c|UINT8|` is U8[2]: expected F32, F64, BF16 or F16`",
    })
    void refusesATensor(String name, DType dtype, String message) throws IOException {
        Map<String, Tensor> trace = trace();
        trace.put(name, Tensor.zeros(Arena.ofAuto(), dtype, 2));
        assertEquals(2, replay(SGD, trace));
        assertRefused("replay: " + folder.resolve("trace") + ": '" + name + "'" + message);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "3 2|1 1|INT64 2|FLOAT32 2 2|: there is a sparse gradient for the same step, 'grad/1/w.indices'",
        "3 2||FLOAT32 2|FLOAT32 2 2|`.indices' is F32[2]: expected I64[n] or I64[1, n]`",
        "3 2||INT64 2 1|FLOAT32 2 2|`.indices' is I64[2, 1]: expected I64[n] or I64[1, n]`",
        "3 2||INT64 2|FLOAT32 3 2|`.values' is F32[3, 2]: expected F32[2, 2], a row of 'param/w' for each of 'grad/1/w.indices'`",
        "3 2||INT64 2|FLOAT64 2 2|`.values' is F64[2, 2]: expected F32[2, 2], a row of 'param/w' for each of 'grad/1/w.indices'`",
        "||INT64 2|FLOAT32 2|`.indices': 'param/w' is F32[], which has no rows`",
    })
    void refusesASparseGradient(String shape, String dense, String indices, String values, String message) throws IOException {
        Map<String, Tensor> trace = new LinkedHashMap<>();
        trace.put("param/w", zeros("FLOAT32 " + (shape == null ? "" : shape)));
        trace.put("grad/1/w.indices", zeros(indices));
        trace.put("grad/1/w.values", zeros(values));
        if (dense != null) {
            trace.put("grad/1/w", zeros("FLOAT32 " + shape));
        }
        assertEquals(2, replay(SGD, trace));
        assertRefused("replay: " + folder.resolve("trace") + ": 'grad/1/w" + (message.startsWith(":") ? "'" : "") + message);
    }

    /** A type and a shape. */
    private static Tensor zeros(String what) {
        String[] words = what.strip().split(" ");
        return Tensor.zeros(Arena.ofAuto(), DType.valueOf(words[0]), Arrays.stream(words).skip(1).mapToLong(Long::parseLong).toArray());
    }

    @Test
    void sparseGradientsOfAnyLengthAreReplayed() throws IOException {
        Map<String, Tensor> trace = new LinkedHashMap<>();
        trace.put("param/w", zeros("FLOAT32 4 2"));
        trace.put("grad/0/w.indices", zeros("INT64 1 0"));
        trace.put("grad/0/w.values", zeros("FLOAT32 0 2"));
        trace.put("grad/1/w.indices", longs(3, 1, 3));
        trace.put("grad/1/w.values", Tensor.of(MemorySegment.ofArray(new float[] {1, 2, 3, 4, 5, 6}), DType.FLOAT32, 3, 2));
        trace.put("grad/2/w", Tensor.of(MemorySegment.ofArray(new float[] {1, 1, 1, 1, 1, 1, 1, 1}), DType.FLOAT32, 4, 2));
        trace.put("grad/4/w.indices", longs(0));
        trace.put("grad/4/w.values", Tensor.of(MemorySegment.ofArray(new float[] {1, 1}), DType.FLOAT32, 1, 2));
        for (String device : available()) {
            assertEquals(0, replay("""
                    {"optimizer": "SGD", "defaults": {"lr": 1}}""", trace, "--device", device), () -> errors);
            try (SafeTensors found = SafeTensors.open(out())) {
                assertEquals(List.of(-2.0, -2.0, -4.0, -5.0, -1.0, -1.0, -7.0, -9.0), LongStream.range(0, 8)
                        .mapToObj(found.tensor("param/w")::get).toList());
            }
        }
        trace.put("grad/4/w.indices", longs(4));
        Files.delete(out());
        assertEquals(2, replay(SGD, trace));
        assertRefused("Engine.stepRows 'w': size is inconsistent with indices: for dim 0, size is 4 but found index 4");
        assertEquals(2, replay("{\"optimizer\": \"Adam\"}", trace));
        assertRefused("Adam: Adam does not support sparse gradients, please consider SparseAdam instead");
    }

    // ---- Closures

    /** The recorded run of LBFGS, which evaluates its closure several times in each of 5 steps. */
    private static Map<String, Tensor> closures() {
        Map<String, Tensor> trace = new LinkedHashMap<>();
        try (SafeTensors recorded = SafeTensors.open(file("lbfgs", "TRACE"))) {
            recorded.tensors().keySet().forEach(key -> {
                Tensor copy = Tensor.zeros(Arena.ofAuto(), recorded.tensor(key).dtype(), recorded.tensor(key).shape());
                copy.segment().copyFrom(recorded.tensor(key).segment());
                trace.put(key, copy);
            });
        }
        return trace;
    }

    private static String lbfgs() throws IOException {
        return Files.readString(RECORDED.resolve("lbfgs/CONFIG.json"));
    }

    private static int evaluations(Map<String, Tensor> trace, int step) {
        return (int) trace.keySet().stream().filter(key -> key.startsWith("loss/" + step + "/")).count();
    }

    @Test
    void anotherNumberOfEvaluationsThanRecordedIsSaid() throws IOException {
        Map<String, Tensor> trace = closures();
        int last = evaluations(trace, 2) - 1;
        assertTrue(last > 2, "this test would prove nothing");
        trace.keySet().removeIf(key -> key.matches("(loss|grad)/2/" + last + "(/.*)?"));
        assertEquals(2, replay(lbfgs(), trace));
        String why = "the options are others, or rounding has led to another decision";
        assertRefused("replay: step 2 of LBFGS takes a further evaluation of the closure, and " + last + " were recorded: " + why);
        trace = closures();
        trace.put("loss/1/" + evaluations(trace, 1), Tensor.of(MemorySegment.ofArray(new double[] {1}), DType.FLOAT64));
        assertEquals(2, replay(lbfgs(), trace));
        int recorded = evaluations(trace, 1);
        assertRefused("replay: step 1 of LBFGS takes " + (recorded - 1) + " evaluations of the closure, and " + recorded
                + " were recorded: " + why);
    }

    @Test
    void noEvaluationMayBeLeftOut() throws IOException {
        for (String missing : List.of("loss/0/0", "loss/3/1", "loss/4/0")) {
            Map<String, Tensor> trace = closures();
            trace.remove(missing);
            trace.keySet().removeIf(key -> key.startsWith(missing.replace("loss", "grad") + "/"));
            assertEquals(2, replay(lbfgs(), trace));
            assertRefused("replay: " + folder.resolve("trace") + ": '" + missing + "' is missing: expected the losses of all "
                    + "evaluations, from loss/0/0 on");
        }
        Map<String, Tensor> trace = closures();
        trace.put("grad/0/a", trace.get("grad/0/0/a"));
        assertEquals(2, replay(lbfgs(), trace));
        assertRefused("replay: " + folder.resolve("trace") + ": 'grad/0/a': there are losses: expected grad/<step>/<evaluation>/<name>, "
                + "with the name of a parameter");
    }

    @Test
    void anOptimizerThatNeedsClosuresRefusesATraceWithoutAndTheOthersTakeOneEvaluationPerStep() throws IOException {
        assertEquals(2, replay("{\"optimizer\": \"LBFGS\"}", trace()));
        assertRefused("replay: LBFGS evaluates a closure, and the trace has none: record loss/<step>/<evaluation> and "
                + "grad/<step>/<evaluation>/<name> of each evaluation");
        Map<String, Tensor> trace = new LinkedHashMap<>();
        trace().forEach((key, tensor) -> trace.put(key.replace("grad/0/", "grad/0/0/"), tensor));
        trace.put("loss/0/0", floats(3));
        assertEquals(0, replay("{\"optimizer\": \"SGD\", \"defaults\": {\"lr\": 1}}", trace), () -> errors);
        try (SafeTensors found = SafeTensors.open(out())) {
            assertEquals(2.5, found.tensor("param/a").get(1));
        }
        Files.delete(out());
        trace.put("loss/0/1", floats(3));
        assertEquals(2, replay(SGD, trace));
        assertRefused("replay: step 0 of SGD takes 1 evaluations of the closure, and 2 were recorded: the options are others, or "
                + "rounding has led to another decision");
    }

    @Test
    void lbfgsHasOneGroupAndOptionsThatAreIntegersNamesAndNull() throws IOException {
        for (String[] refused : new String[][] {
            {"'max_iter': 2.5", "LBFGS: option 'max_iter' takes an integer, not 2.5"},
            {"'max_iter': 'x'", ".max_iter: expected a number, true, false or a list of numbers, found \"x\""},
            {"'line_search_fn': 'armijo'", "LBFGS: option 'line_search_fn' takes 'strong_wolfe' or none, not armijo"},
            {"'line_search_fn': true", "LBFGS: option 'line_search_fn' takes 'strong_wolfe' or none, not true"},
            {"'history_size': 0", "LBFGS: Invalid history_size value: 0"}}) {
            assertEquals(2, replay("{'optimizer': 'LBFGS', 'defaults': {%s}}".formatted(refused[0]).replace('\'', '"'), closures()));
            assertTrue(errors.contains(refused[1]), errors);
        }
        assertEquals(2, replay("{'optimizer': 'LBFGS', 'param_groups': [{'params': ['a']}, {'params': ['b']}]}".replace('\'', '"'),
                closures()));
        assertRefused("LBFGS: LBFGS doesn't support per-parameter options (parameter groups)");
    }

    private static Tensor longs(long... values) {
        return Tensor.of(MemorySegment.ofArray(values), DType.INT64, values.length);
    }

    @Test
    void refusesAnEmptyTrace() throws IOException {
        assertEquals(2, replay(SGD, Map.of()));
        assertRefused("replay: " + folder.resolve("trace") + ": there is no 'param/<name>' to replay");
        assertEquals(2, replay(SGD, Map.of("param/a", floats(1))));
        assertRefused("replay: " + folder.resolve("trace") + ": there is no 'grad/<step>/<name>' to replay");
    }

    @Test
    void refusesMoreStepsThanAFileCanTellOf() throws IOException {
        assertEquals(2, replay(SGD, Map.of("param/a", floats(1), "grad/999999998/a", floats(1))));
        assertRefused("replay: the trace claims 999999999 steps: the learning rates of so many do not fit in the header of the "
                + "output");
    }

    @Test
    void refusesATruncatedTrace() throws IOException {
        byte[] bytes = Files.readAllBytes(file("sgd", "TRACE"));
        for (int length : new int[] {0, 7, 100, bytes.length - 1}) {
            Files.write(folder.resolve("trace"), Arrays.copyOf(bytes, length));
            assertEquals(2, replay(SGD), "cut to " + length);
            assertOneLine("panoptim: SafeTensors.open: " + folder.resolve("trace") + ": ");
        }
    }

    @Test
    void refusesFilesThatAreNotThere() throws IOException {
        assertEquals(2, run("--config", "none", "--trace", "none", "--out", out().toString()));
        assertRefused("replay: none: cannot be read: no such file");
        Files.writeString(folder.resolve("config"), SGD);
        assertEquals(2, replay(SGD));
        assertRefused("SafeTensors.open: " + folder.resolve("trace") + ": cannot be read: no such file or folder");
        assertEquals(2, replay(SGD, trace(), "--expect", "none"));
        assertRefused("SafeTensors.open: none: cannot be read: no such file or folder");
    }

    @ParameterizedTest
    @ValueSource(strings = {"cuda", "tpu"})
    void refusesADevice(String device) throws IOException {
        assumeTrue(Engines.providers().stream().noneMatch(provider -> provider.name().equals(device)), device + " is there");
        assertEquals(2, replay(SGD, trace(), "--device", device));
        assertRefused("Engines.named: no engine '" + device + "': there are "
                + Engines.providers().stream().map(EngineProvider::name).toList());
    }

    @Test
    void refusesAnOutputThatCannotBeWrittenOrIsRead() throws IOException {
        Path nowhere = folder.resolve("no/out");
        assertEquals(2, replayTo(nowhere));
        assertRefused("replay: " + nowhere + ": cannot be written: its folder does not exist");
        byte[] before = Files.readAllBytes(folder.resolve("trace"));
        Path same = folder.resolve("./trace");
        assertEquals(2, replayTo(same));
        assertRefused("replay: " + same + ": is read by this replay: --out must be another file");
        assertArrayEquals(before, Files.readAllBytes(folder.resolve("trace")));
        assertEquals(2, replayTo(folder));
        assertRefused("replay: " + folder + ": exists and is not a regular file");
    }

    private int replayTo(Path target) throws IOException {
        SafeTensors.write(folder.resolve("trace"), trace(), Map.of());
        Files.writeString(folder.resolve("config"), SGD);
        return run("--config", folder.resolve("config").toString(), "--trace", folder.resolve("trace").toString(), "--out",
                target.toString());
    }

    @Test
    void saysWhatIsNotAsExpected() throws IOException {
        assertEquals(0, replay(SGD, trace()));
        Map<String, Tensor> expected = new LinkedHashMap<>();
        try (SafeTensors found = SafeTensors.open(out())) {
            Tensor a = floats((float) found.tensor("param/a").get(0), (float) found.tensor("param/a").get(1));
            a.set(1, Math.nextUp(Math.nextUp((float) a.get(1))));
            expected.put("param/a", a);
            expected.put("param/b", floats(1, 2, 3));
            expected.put("state/a/momentum_buffer", floats(1));
        }
        Files.delete(out());
        Path planted = folder.resolve("expected");
        SafeTensors.write(planted, expected, Map.of());

        assertEquals(1, replay(SGD, trace(), "--expect", planted.toString()));
        assertEquals("""
                param/a: 1 of 2 values differ, largest difference 2 ulp
                param/b: expected F32[3], found F32[2]
                state/a/momentum_buffer: missing from the result
                """, output);
        assertRefused("replay: 3 of 3 tensors differ from " + planted + ", the first 'param/a'; " + out() + " was not written");
    }

    @Test
    void refusesACommandWithoutItsFiles() {
        assertEquals(2, run("--config", "c"));
        assertRefused("Missing required options: '--trace=TRACE.safetensors', '--out=OUT.safetensors' (see panoptim replay --help)");
    }

    /** Two parameters, {@code a} and {@code b}, and a gradient for each. */
    private static Map<String, Tensor> trace() {
        Map<String, Tensor> trace = new LinkedHashMap<>();
        trace.put("param/a", floats(1, 2));
        trace.put("param/b", floats(3, 4));
        trace.put("grad/0/a", floats(0.5f, -0.5f));
        trace.put("grad/0/b", floats(1, -1));
        return trace;
    }

    private static Tensor floats(float... values) {
        return Tensor.of(MemorySegment.ofArray(values), DType.FLOAT32, values.length);
    }

    private int replay(String config, Map<String, Tensor> trace, String... more) throws IOException {
        SafeTensors.write(folder.resolve("trace"), trace, Map.of());
        return replay(config, more);
    }

    private int replay(String config, String... more) throws IOException {
        Files.writeString(folder.resolve("config"), config);
        return run(folder.resolve("config"), folder.resolve("trace"), more);
    }

    private int recorded(String run, String... more) {
        return run(RECORDED.resolve(run + "/CONFIG.json"), file(run, "TRACE"), more);
    }

    private int run(Path config, Path trace, String... more) {
        List<String> arguments = new ArrayList<>(List.of("--config", config.toString(), "--trace", trace.toString(), "--out",
                out().toString()));
        arguments.addAll(List.of(more));
        return run(arguments.toArray(String[]::new));
    }

    private int run(String... arguments) {
        Tool tool = Tool.run(Stream.concat(Stream.of("replay"), Arrays.stream(arguments)).toArray(String[]::new));
        output = tool.out();
        errors = tool.err();
        return tool.status();
    }

    private void assertRefused(String message) {
        assertEquals("panoptim: " + message + "\n", errors.replace("\"", "'"));
        assertFalse(Files.exists(out()), "an output was written");
    }

    private void assertOneLine(String beginning) {
        assertTrue(errors.startsWith(beginning), () -> errors);
        assertEquals(1, errors.lines().count());
        assertFalse(Files.exists(out()), "an output was written");
    }

    private Path out() {
        return folder.resolve("out.safetensors");
    }

    private static Path file(String run, String name) {
        return RECORDED.resolve(run + "/" + name + ".safetensors");
    }
}
