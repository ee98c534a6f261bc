package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Parameter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.function.BiFunction;
import java.util.function.ToIntFunction;

/** Splits named parameters into groups, each to be given to an optimizer with options of its own. */
public final class ParamGroups {
    /**
     * A group to be.
     *
     * @param name the prefix of its parameters' names, or {@code layer_3_decay} and the like
     * @param layer how deep it lies, from 0 at the input; the place of a prefix
     * @param lrScale what the learning rate is multiplied by
     * @param decays whether weight decay applies to it
     */
    public record Split(String name, int layer, double lrScale, boolean decays, List<Parameter> parameters) {
        public Split {
            parameters = List.copyOf(parameters);
        }
    }

    private ParamGroups() {}

    /**
     * A group for each prefix that is the beginning of some names, in that order, then one without a name of the rest, if there is any.
     * A parameter goes to the first prefix that fits.
     */
    public static List<Split> byPrefix(List<Parameter> parameters, List<String> prefixes) {
        Map<String, List<Parameter>> groups = new LinkedHashMap<>();
        prefixes.forEach(prefix -> groups.put(prefix, new ArrayList<>()));
        List<Parameter> rest = new ArrayList<>();
        for (Parameter parameter : parameters) {
            String name = name("ParamGroups.byPrefix", parameter);
            groups.getOrDefault(prefixes.stream().filter(name::startsWith).findFirst().orElse(null), rest).add(parameter);
        }
        List<Split> splits = new ArrayList<>();
        groups.forEach((prefix, members) -> {
            if (members.isEmpty()) {
                throw PanoptimException.invalid("ParamGroups.byPrefix", "no parameter is left whose name begins with '" + prefix + "'");
            }
            splits.add(new Split(prefix, splits.size(), 1, true, members));
        });
        if (!rest.isEmpty()) {
            splits.add(new Split("", splits.size(), 1, true, rest));
        }
        return splits;
    }

    /**
     * Learning rates that fall from the last layer to the first, as in timm's {@code param_groups_layer_decay}: that of layer
     * {@code i} is multiplied by {@code layerDecay ^ (last - i)}. Groups come in the order of the layers; of a layer those parameters
     * that do not decay come first.
     *
     * @param layerDecay more than 0; 1 for equal rates
     * @param decaysVectors whether biases and other parameters with at most one dimension decay as well: in timm they do not
     * @param layerOf the layer of a name, at least 0
     */
    public static List<Split> byLayer(List<Parameter> parameters, double layerDecay, boolean decaysVectors, ToIntFunction<String> layerOf) {
        String call = "ParamGroups.byLayer";
        if (!(layerDecay > 0 && layerDecay < Double.POSITIVE_INFINITY)) {
            throw PanoptimException.invalid(call, "Invalid layer_decay value: " + layerDecay);
        }
        record Key(int layer, boolean decays) implements Comparable<Key> {
            @Override
            public int compareTo(Key other) {
                return layer != other.layer ? Integer.compare(layer, other.layer) : Boolean.compare(decays, other.decays);
            }
        }
        Map<Key, List<Parameter>> groups = new TreeMap<>();
        for (Parameter parameter : parameters) {
            String name = name(call, parameter);
            int layer = layerOf.applyAsInt(name);
            if (layer < 0) {
                throw PanoptimException.invalid(call, "'" + name + "' is said to be in layer " + layer + ": they count from 0");
            }
            boolean decays = decaysVectors || parameter.value().shape().length > 1 && !name.endsWith(".bias");
            groups.computeIfAbsent(new Key(layer, decays), key -> new ArrayList<>()).add(parameter);
        }
        int last = groups.keySet().stream().mapToInt(Key::layer).max().orElse(0);
        List<Split> splits = new ArrayList<>();
        groups.forEach((key, members) -> splits.add(new Split("layer_" + key.layer + (key.decays ? "_decay" : "_no_decay"), key.layer,
                Math.pow(layerDecay, last - key.layer), key.decays, members)));
        return splits;
    }

    /**
     * An optimizer of these groups, each with its name and {@code lr_scale} among its fields.
     *
     * @param schema the optimizer's
     * @param base the options of a group whose scale is 1; where a split does not decay its {@code weight_decay} is 0
     * @param make makes the optimizer of the first group
     */
    public static <O extends Record, T extends FusedOptimizer<O>> T optimizer(List<Split> splits, OptionSchema<O> schema, O base,
                                                                              BiFunction<List<Parameter>, O, T> make) {
        if (splits.isEmpty()) {
            throw PanoptimException.invalid("ParamGroups.optimizer", "optimizer got an empty parameter list");
        }
        T optimizer = make.apply(splits.getFirst().parameters, options(splits.getFirst(), schema, base));
        try {
            for (Split split : splits.subList(1, splits.size())) {
                optimizer.addParamGroup(split.parameters, options(split, schema, base));
            }
        } catch (RuntimeException refused) {
            optimizer.close();
            throw refused;
        }
        for (int i = 0; i < splits.size(); i++) {
            optimizer.paramGroups().get(i).field("name", splits.get(i).name);
            optimizer.paramGroups().get(i).field("lr_scale", splits.get(i).lrScale);
        }
        return optimizer;
    }

    private static <O extends Record> O options(Split split, OptionSchema<O> schema, O base) {
        double lr = schema.values(base)[schema.index("lr")];
        Map<String, Object> changed = new LinkedHashMap<>();
        changed.put("lr", lr * split.lrScale);
        if (!split.decays && schema.names().contains("weight_decay")) {
            changed.put("weight_decay", 0.0);
        }
        return schema.with(base, changed);
    }

    private static String name(String call, Parameter parameter) {
        if (parameter.name() == null) {
            throw PanoptimException.invalid(call, parameter + " has no name to go by");
        }
        return Objects.requireNonNull(parameter.name());
    }
}
