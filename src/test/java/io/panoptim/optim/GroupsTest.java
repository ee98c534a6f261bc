package io.panoptim.optim;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.optim.norm.Prodigy;
import io.panoptim.optim.wrap.Lookahead;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Parameter groups, state dictionaries and hooks, in torch's layout and with torch's words. */
class GroupsTest {
    private final Arena arena = Arena.ofShared();
    private final Engine engine = TestEngines.reference();
    private final List<Optimizer> opened = new ArrayList<>();

    @AfterEach
    void close() {
        opened.forEach(Optimizer::close);
        arena.close();
    }

    private <T extends Optimizer> T opened(T optimizer) {
        opened.add(optimizer);
        return optimizer;
    }

    private Tensor vector(double... values) {
        Tensor tensor = Tensor.zeros(arena, DType.FLOAT32, values.length);
        IntStream.range(0, values.length).forEach(i -> tensor.set(i, values[i]));
        return tensor;
    }

    private Parameter parameter(String name, double... values) {
        double[] ones = new double[values.length];
        Arrays.fill(ones, 1);
        return Parameter.of(name, vector(values)).gradient(vector(ones));
    }

    private AdamW adamW(Parameter... parameters) {
        return opened(new AdamW(engine, List.of(parameters), AdamW.Options.defaults()));
    }

    private SGD sgd(Parameter... parameters) {
        return opened(new SGD(engine, List.of(parameters), SGD.Options.defaults().withLr(0.5)));
    }

    /** A copy all of whose maps and lists can be changed. */
    private static Object copy(Object value) {
        if (value instanceof Map<?, ?> map) {
            Map<Object, Object> copy = new LinkedHashMap<>();
            map.forEach((key, entry) -> copy.put(key, copy(entry)));
            return copy;
        }
        if (value instanceof List<?> list) {
            List<Object> copy = new ArrayList<>();
            list.forEach(entry -> copy.add(copy(entry)));
            return copy;
        }
        return value;
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> dict(Optimizer optimizer) {
        return (Map<String, Object>) copy(optimizer.stateDict());
    }

    @SuppressWarnings("unchecked")
    private static Map<Object, Object> group(Map<String, Object> dict, int index) {
        return (Map<Object, Object>) ((List<Object>) dict.get("param_groups")).get(index);
    }

    @SuppressWarnings("unchecked")
    private static Map<Object, Object> state(Map<String, Object> dict, Object index) {
        return ((Map<Object, Map<Object, Object>>) dict.get("state")).get(index);
    }

    @Test
    void aStateDictionaryHasTorchsLayout() {
        Parameter a = parameter("a", 1, 2);
        Parameter b = parameter("b", 3).gradient(null);
        Parameter c = parameter("c", 4);
        AdamW optimizer = adamW(a, b);
        optimizer.addParamGroup(List.of(c), AdamW.Options.defaults().withLr(0.25).withWeightDecay(0));
        optimizer.paramGroups().get(1).field("tag", "head");
        optimizer.step();
        Map<String, Object> dict = dict(optimizer);
        assertEquals(List.of("state", "param_groups"), List.copyOf(dict.keySet()));
        assertEquals(Set.of(0, 2), ((Map<?, ?>) dict.get("state")).keySet());
        assertEquals(Set.of("step", "exp_avg", "exp_avg_sq"), state(dict, 2).keySet());
        assertEquals(1, ((Tensor) state(dict, 2).get("step")).get(0));
        assertEquals(List.of(0, 1), group(dict, 0).get("params"));
        assertEquals(List.of("a", "b"), group(dict, 0).get("param_names"));
        assertEquals(List.of(2), group(dict, 1).get("params"));
        assertEquals("head", group(dict, 1).get("tag"));
        assertEquals(0.25, group(dict, 1).get("lr"));
        assertEquals(List.of(0.9, 0.999), group(dict, 1).get("betas"));
        assertEquals(false, group(dict, 1).get("amsgrad"));
    }

    @Test
    void tiedParametersShareTheFirstOnesNumber() {
        Tensor value = vector(1, 2);
        SGD optimizer = sgd(Parameter.of("a", value), Parameter.of("b", value), parameter("c", 1));
        assertEquals(List.of(0, 0, 2), group(dict(optimizer), 0).get("params"));
    }

    @Test
    void aDictionaryThatTorchSavedIsTaken() {
        Parameter a = Parameter.of("a", Tensor.zeros(arena, DType.BFLOAT16, 2, 3));
        AdamW optimizer = adamW(a);
        Map<String, Object> options = new HashMap<>(Map.of("lr", 1, "betas", List.of(0.8, 0.9), "eps", 1e-6, "weight_decay", 0.5,
                "amsgrad", false, "maximize", false, "capturable", false, "differentiable", false, "params", List.of(17)));
        options.put("foreach", null); // and neither fused nor decoupled_weight_decay, which older ones lack
        Tensor average = Tensor.zeros(arena, DType.FLOAT64, 2, 3);
        IntStream.range(0, 6).forEach(i -> average.set(i, i + 1.0 / 3));
        optimizer.loadStateDict(Map.of("param_groups", List.of(options), "state", Map.of(17L, Map.of(
                "step", 5, "exp_avg", average, "exp_avg_sq", Tensor.zeros(arena, DType.FLOAT32, 2, 3)))));
        assertEquals(1, optimizer.paramGroups().getFirst().lr());
        assertEquals(new Betas(0.8, 0.9), optimizer.paramGroups().getFirst().get("betas"));
        assertTrue(optimizer.toString().contains("    foreach: None\n"), optimizer.toString());
        assertEquals(5, optimizer.state(a).get("step").get(0));
        assertEquals(DType.FLOAT32, optimizer.state(a).get("step").dtype());
        Tensor loaded = optimizer.state(a).get("exp_avg");
        assertEquals(DType.BFLOAT16, loaded.dtype());
        assertEquals(2.328125, loaded.get(2));
        assertEquals(List.of(0), group(dict(optimizer), 0).get("params"));
    }

    @Test
    void stateIsCopiedIntoTheParametersLayout() {
        Tensor value = Tensor.of(arena.allocate(24, 64), DType.FLOAT32, new long[] {2, 3}, new long[] {1, 2});
        SGD optimizer = opened(new SGD(engine, List.of(Parameter.of(value)), SGD.Options.defaults().withMomentum(0.9)));
        Tensor rowMajor = Tensor.zeros(arena, DType.FLOAT32, 2, 3);
        IntStream.range(0, 6).forEach(i -> rowMajor.set(i, i));
        Map<String, Object> dict = dict(optimizer);
        dict.put("state", Map.of(0, Map.of("momentum_buffer", rowMajor)));
        optimizer.loadStateDict(dict);
        Tensor buffer = optimizer.state(optimizer.paramGroups().getFirst().params().getFirst()).get("momentum_buffer");
        assertTrue(buffer.sameLayout(value));
        assertEquals(3, buffer.get(1), "the second one in memory is the first of the second row");
    }

    @Test
    void whatDoesNotFitIsRefusedByItsPathAndNothingChanges() {
        Parameter a = parameter("a", 1, 2);
        Parameter b = parameter("b", 3);
        AdamW optimizer = adamW(a, b);
        optimizer.step();
        String before = optimizer.toString();
        Tensor kept = optimizer.state(a).get("exp_avg");
        changed(optimizer, "loaded state dict has a different number of parameter groups", dict -> dict.put("param_groups", List.of()));
        changed(optimizer, "loaded state dict contains a parameter group that doesn't match the size of optimizer's group",
                dict -> group(dict, 0).put("params", List.of(0)));
        changed(optimizer, "param_groups: expected a list, found null", dict -> dict.remove("param_groups"));
        changed(optimizer, "state: expected a map", dict -> dict.put("state", 3));
        changed(optimizer, "state[7]: no group has this parameter", dict -> dict.put("state", Map.of(7, Map.of())));
        changed(optimizer, "param_groups[0]['betas']: AdamW: option 'betas' takes 2 numbers",
                dict -> group(dict, 0).put("betas", List.of(1)));
        changed(optimizer, "param_groups[0]['lr']: AdamW: option 'lr' is NaN", dict -> group(dict, 0).put("lr", Double.NaN));
        changed(optimizer, "param_groups[0]['eps']", dict -> group(dict, 0).put("eps", null));
        changed(optimizer, "state[1] lacks 'exp_avg'", dict -> state(dict, 1).remove("exp_avg"));
        changed(optimizer, "state[1] has an unknown key 'momentum_buffer'", dict -> state(dict, 1).put("momentum_buffer", 1));
        changed(optimizer, "state[1]['exp_avg']: expected a tensor of shape [1], found float32[2]", dict -> {
            group(dict, 0).put("lr", 7);
            state(dict, 1).put("exp_avg", vector(1, 2));
        });
        changed(optimizer, "state[1]['step']: expected a number", dict -> state(dict, 1).put("step", "one"));
        changed(optimizer, "state[1] lacks 'max_exp_avg_sq'", dict -> {
            group(dict, 0).put("amsgrad", true);
            state(dict, 0).put("max_exp_avg_sq", vector(1, 1));
        });
        assertEquals(before, optimizer.toString());
        assertEquals(kept, optimizer.state(a).get("exp_avg"), "the same tensor as before");
        optimizer.step();
    }

    private static void changed(Optimizer optimizer, String words, Consumer<Map<String, Object>> change) {
        Map<String, Object> dict = dict(optimizer);
        change.accept(dict);
        refused(Code.INVALID, words, () -> optimizer.loadStateDict(dict));
    }

    @Test
    void loadingReplacesTensorsAndItsOwnStateIsNoException() {
        Parameter a = parameter("a", 1, 2);
        Parameter b = parameter("b", 3, 4).gradient(vector(5, 6));
        AdamW optimizer = adamW(a, b);
        optimizer.step();
        Tensor before = optimizer.state(a).get("exp_avg");
        double first = before.get(0);
        double second = optimizer.state(b).get("exp_avg").get(0);
        Map<String, Object> dict = dict(optimizer);
        group(dict, 0).put("params", List.of(1, 0)); // crossed
        optimizer.loadStateDict(dict);
        assertEquals(second, optimizer.state(a).get("exp_avg").get(0));
        assertEquals(first, optimizer.state(b).get("exp_avg").get(0));
        refused(Code.CLOSED, "closed", () -> before.checkAccessible("test", "it"));
        optimizer.loadStateDict(Map.of("state", Map.of(), "param_groups", List.of(Map.of("params", List.of(0, 1)))));
        assertTrue(optimizer.state(a).isEmpty());
        optimizer.step();
        assertEquals(1, optimizer.state(a).get("step").get(0));
    }

    @Test
    void optionsThatAScheduleHasMovedOutOfRangeComeBack() {
        AdamW optimizer = adamW(parameter("a", 1));
        optimizer.hyperparameter("weight_decay").set(optimizer.paramGroups().getFirst(), -0.5);
        optimizer.paramGroups().getFirst().independentWeightDecay(0.25);
        AdamW other = adamW(parameter("a", 1));
        other.loadStateDict(optimizer.stateDict());
        assertEquals(optimizer.toString(), other.toString());
        other.paramGroups().getFirst().independentWeightDecay(0.75);
        optimizer.paramGroups().getFirst().independentWeightDecay(0);
        other.loadStateDict(optimizer.stateDict());
        assertEquals(0, other.paramGroups().getFirst().independentWeightDecay());
    }

    @Test
    void whatAllTensorsShareIsTheGroups() {
        Prodigy optimizer = opened(new Prodigy(engine, List.of(parameter("a", 1, 2)), Prodigy.Options.defaults()));
        optimizer.step();
        Map<String, Object> dict = dict(optimizer);
        assertEquals(1L, group(dict, 0).get("k"));
        assertEquals(optimizer.state(optimizer.paramGroups().getFirst().params().getFirst()).get("d").get(0), group(dict, 0).get("d"));
        assertNull(state(dict, 0).get("d"));
    }

    @Test
    void slowWeightsAreSavedAsTimmDoesAndRefusedWithoutLoadingTheRest() {
        Parameter a = parameter("a", 1, 2);
        Lookahead lookahead = opened(new Lookahead(new AdamW(engine, List.of(a), AdamW.Options.defaults()), new Lookahead.Options(0.5, 2)));
        lookahead.step();
        assertNull(state(dict(lookahead), 0).get("lookahead_slow_buff"));
        lookahead.step();
        Map<String, Object> dict = dict(lookahead);
        assertEquals(2L, group(dict, 0).get("lookahead_step"));
        assertEquals(0.5, group(dict, 0).get("lookahead_alpha"));
        Bits.assertSame(lookahead.state(a).get("lookahead_slow_buff"), (Tensor) state(dict, 0).get("lookahead_slow_buff"), "slow");
        group(dict, 0).put("lr", 7);
        state(dict, 0).put("lookahead_slow_buff", vector(1));
        refused(Code.INVALID, "expected a tensor of shape [2]", () -> lookahead.loadStateDict(dict));
        assertEquals(1e-3, lookahead.paramGroups().getFirst().lr());
        group(dict, 0).put("lookahead_k", 0);
        refused(Code.INVALID, "Invalid lookahead steps: 0", () -> lookahead.loadStateDict(dict));
    }

    @Test
    void hooksAreCalledInOrderAroundAStep() {
        SGD optimizer = sgd(parameter("a", 1));
        List<String> calls = new ArrayList<>();
        optimizer.registerStepPreHook(one -> calls.add("before " + one.steps()));
        Optimizer.Handle second = optimizer.registerStepPreHook(one -> calls.add("second"));
        optimizer.registerStepPostHook(one -> calls.add("after " + one.steps() + " " + one.stateDict().size()));
        optimizer.step();
        assertEquals(2, optimizer.step(() -> {
            calls.add("closure");
            return 2;
        }));
        second.close();
        second.close();
        optimizer.step();
        assertEquals(List.of("before 0", "second", "after 1 2", "before 1", "second", "closure", "after 2 2", "before 2", "after 3 2"),
                calls);
    }

    @Test
    void aStepWhosePreHookThrowsDoesNotHappen() {
        Parameter a = parameter("a", 1);
        SGD optimizer = sgd(a);
        List<String> calls = new ArrayList<>();
        Optimizer.Handle failing = optimizer.registerStepPreHook(one -> {
            throw new IllegalStateException("not now");
        });
        optimizer.registerStepPreHook(one -> calls.add("later hook"));
        assertThrows(IllegalStateException.class, optimizer::step);
        assertEquals(1, a.value().get(0));
        assertEquals(List.of(), calls);
        failing.close();
        Optimizer.Handle afterwards = optimizer.registerStepPostHook(one -> {
            throw new IllegalStateException("too late");
        });
        assertThrows(IllegalStateException.class, optimizer::step);
        assertEquals(0.5, a.value().get(0), "it has been taken");
        afterwards.close();
        optimizer.step();
        assertEquals(0, a.value().get(0));
    }

    @Test
    void hooksOfAClosedOptimizerAreNotCalled() {
        SGD optimizer = sgd(parameter("a", 1));
        List<String> calls = new ArrayList<>();
        optimizer.registerStepPreHook(one -> calls.add("step"));
        optimizer.registerStateDictPreHook(one -> calls.add("save"));
        optimizer.registerLoadStateDictPreHook((one, dict) -> {
            calls.add("load");
            return null;
        });
        optimizer.close();
        refused(Code.CLOSED, "closed", optimizer::step);
        refused(Code.CLOSED, "closed", optimizer::stateDict);
        refused(Code.CLOSED, "closed", () -> optimizer.loadStateDict(Map.of()));
        assertEquals(List.of(), calls);
    }

    @Test
    void hooksRegisteredByAHookCountFromTheNextStepOn() {
        SGD optimizer = sgd(parameter("a", 1));
        List<String> calls = new ArrayList<>();
        optimizer.registerStepPreHook(one -> {
            calls.add("first");
            one.registerStepPreHook(two -> calls.add("added"));
        });
        optimizer.step();
        assertEquals(List.of("first"), calls);
        optimizer.step();
        assertEquals(List.of("first", "first", "added"), calls);
    }

    @Test
    void hooksSeeAndReplaceDictionaries() {
        SGD optimizer = sgd(parameter("a", 1));
        List<String> calls = new ArrayList<>();
        optimizer.registerStateDictPreHook(one -> calls.add("before saving"));
        optimizer.registerStateDictPreHook(one -> calls.add("prepended"), true);
        optimizer.registerStateDictPostHook((one, dict) -> {
            dict.put("version", 1);
            return null;
        });
        optimizer.registerStateDictPostHook((one, dict) -> new LinkedHashMap<>(Map.of("wrapped", dict)));
        Map<String, Object> saved = optimizer.stateDict();
        assertEquals(List.of("prepended", "before saving"), calls);
        assertEquals(1, ((Map<?, ?>) saved.get("wrapped")).get("version"));
        refused(Code.INVALID, "param_groups", () -> optimizer.loadStateDict(saved));
        optimizer.registerLoadStateDictPreHook((one, dict) -> {
            @SuppressWarnings("unchecked")
            Map<String, Object> inner = (Map<String, Object>) dict.remove("wrapped");
            return inner;
        });
        optimizer.registerLoadStateDictPostHook(one -> calls.add("loaded"));
        optimizer.loadStateDict(saved);
        assertTrue(saved.containsKey("wrapped"), "hooks change a copy");
        assertEquals("loaded", calls.getLast());
    }

    @Test
    void aFrozenGroupKeepsValuesStateAndCountsUntilItThaws() {
        Parameter a = parameter("a", 1);
        Parameter b = parameter("b", 1);
        AdamW adamW = adamW(a);
        adamW.addParamGroup(List.of(b), AdamW.Options.defaults());
        for (Optimizer optimizer : List.of(adamW, opened(new Lookahead(adamW, new Lookahead.Options(0.5, 1))))) {
            ParamGroup group = optimizer.paramGroups().get(1);
            optimizer.step();
            group.frozen(true);
            double value = b.value().get(0);
            double other = a.value().get(0);
            double steps = optimizer.state(b).get("step").get(0);
            optimizer.step();
            assertEquals(value, b.value().get(0));
            assertNotEquals(other, a.value().get(0));
            assertEquals(steps, optimizer.state(b).get("step").get(0));
            group.frozen(false);
            optimizer.step();
            assertEquals(steps + 1, optimizer.state(b).get("step").get(0));
        }
    }

    @Test
    void twoOptimizersShareAModelAndEachLeavesTheOthersHalfAlone() {
        Parameter generator = parameter("generator", 1, 2);
        Parameter discriminator = parameter("discriminator", 3);
        SGD one = sgd(generator);
        AdamW other = adamW(discriminator);
        one.step();
        assertEquals(0.5, generator.value().get(0));
        assertEquals(3, discriminator.value().get(0));
        other.zeroGrad();
        assertEquals(1, generator.gradient().get(0));
        other.step();
        assertEquals(3, discriminator.value().get(0), "without a gradient");
        refused(Code.INVALID, "some parameters appear in more than one parameter group",
                () -> one.addParamGroup(List.of(generator), SGD.Options.defaults()));
        refused(Code.INVALID, "is not one of this optimizer's", () -> one.state(discriminator));
    }

    @Test
    void groupsByPrefixAndByLayer() {
        List<Parameter> model = List.of(Parameter.of("embed.weight", Tensor.zeros(arena, DType.FLOAT32, 4, 2)),
                Parameter.of("blocks.0.weight", Tensor.zeros(arena, DType.FLOAT32, 2, 2)), parameter("blocks.0.bias", 1, 2),
                Parameter.of("blocks.1.weight", Tensor.zeros(arena, DType.FLOAT32, 2, 2)), parameter("head.bias", 1));
        List<ParamGroups.Split> prefixes = ParamGroups.byPrefix(model, List.of("blocks.", "embed"));
        assertEquals(List.of("blocks.", "embed", ""), prefixes.stream().map(ParamGroups.Split::name).toList());
        assertEquals(List.of(3, 1, 1), prefixes.stream().map(split -> split.parameters().size()).toList());
        refused(Code.INVALID, "begins with 'tail'", () -> ParamGroups.byPrefix(model, List.of("tail")));
        refused(Code.INVALID, "has no name", () -> ParamGroups.byPrefix(List.of(Parameter.of(vector(1))), List.of("a")));

        List<ParamGroups.Split> layers = ParamGroups.byLayer(model, 0.5, false, name -> name.startsWith("embed") ? 0
                : name.startsWith("head") ? 3 : 1 + Integer.parseInt(name.split("\\.")[1]));
        assertEquals(List.of("layer_0_decay", "layer_1_no_decay", "layer_1_decay", "layer_2_decay", "layer_3_no_decay"),
                layers.stream().map(ParamGroups.Split::name).toList());
        AdamW optimizer = opened(ParamGroups.optimizer(layers, AdamW.SCHEMA, AdamW.Options.defaults().withLr(0.8).withWeightDecay(0.1),
                (parameters, options) -> new AdamW(engine, parameters, options)));
        assertEquals(List.of(0.1, 0.2, 0.2, 0.4, 0.8), optimizer.paramGroups().stream().map(ParamGroup::lr).toList());
        assertEquals(List.of(0.1, 0.0, 0.1, 0.1, 0.0),
                optimizer.paramGroups().stream().map(group -> (Double) group.get("weight_decay")).toList());
        assertEquals(0.25, optimizer.paramGroups().get(1).fields().get("lr_scale"));
        refused(Code.INVALID, "Invalid layer_decay value: 0.0", () -> ParamGroups.byLayer(model, 0, true, name -> 0));
        refused(Code.INVALID, "layer -1", () -> ParamGroups.byLayer(model, 0.5, true, name -> -1));
    }
}
