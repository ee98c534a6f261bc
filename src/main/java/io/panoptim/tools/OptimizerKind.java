package io.panoptim.tools;

import com.fasterxml.jackson.databind.JsonNode;
import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.optim.ADOPT;
import io.panoptim.optim.ASGD;
import io.panoptim.optim.AdEMAMix;
import io.panoptim.optim.AdaBelief;
import io.panoptim.optim.Adadelta;
import io.panoptim.optim.Adagrad;
import io.panoptim.optim.Adam;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.AdamWScheduleFree;
import io.panoptim.optim.Adamax;
import io.panoptim.optim.Adan;
import io.panoptim.optim.FTRL;
import io.panoptim.optim.FusedOptimizer;
import io.panoptim.optim.LBFGS;
import io.panoptim.optim.LaProp;
import io.panoptim.optim.Lion;
import io.panoptim.optim.MADGRAD;
import io.panoptim.optim.NAdam;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.RAdam;
import io.panoptim.optim.RAdamScheduleFree;
import io.panoptim.optim.RMSprop;
import io.panoptim.optim.RMSpropTF;
import io.panoptim.optim.Rprop;
import io.panoptim.optim.SGD;
import io.panoptim.optim.SGDScheduleFree;
import io.panoptim.optim.SignSGD;
import io.panoptim.optim.Signum;
import io.panoptim.optim.SophiaG;
import io.panoptim.optim.SparseAdam;
import io.panoptim.optim.Yogi;
import io.panoptim.optim.matrix.Adafactor;
import io.panoptim.optim.matrix.AdafactorHF;
import io.panoptim.optim.matrix.Dion;
import io.panoptim.optim.matrix.Muon;
import io.panoptim.optim.matrix.MuonWithAuxAdam;
import io.panoptim.optim.matrix.NorMuon;
import io.panoptim.optim.matrix.SOAP;
import io.panoptim.optim.matrix.Shampoo;
import io.panoptim.optim.norm.AdamMini;
import io.panoptim.optim.norm.AdamP;
import io.panoptim.optim.norm.DAdaptAdam;
import io.panoptim.optim.norm.DAdaptSGD;
import io.panoptim.optim.norm.LAMB;
import io.panoptim.optim.norm.LARC;
import io.panoptim.optim.norm.LARS;
import io.panoptim.optim.norm.MARS;
import io.panoptim.optim.norm.NovoGrad;
import io.panoptim.optim.norm.Prodigy;
import io.panoptim.optim.norm.Ranger;
import io.panoptim.optim.norm.SGDP;
import io.panoptim.optim.norm.StableAdamW;
import io.panoptim.optim.wrap.Lookahead;
import io.panoptim.tensor.Parameter;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.StreamSupport;

/**
 * An optimizer that the commands know by its name. A new one is a line in {@link #ALL}.
 *
 * @param name the class's name in torch, or here if torch lacks it
 * @param fixed options that torch's groups hold, but that must have one value
 */
public record OptimizerKind<T extends Optimizer, O extends Record>(
        String name, OptionSchema<O> schema, Constructor<T, O> constructor, GroupAdder<T, O> adder, Map<String, ?> fixed) {
    /** What timm's optimizers can do besides, and these do not. */
    private static final Map<String, Boolean> TIMM = Map.of("corrected_weight_decay", false);
    private static final Map<String, Boolean> INCAUTIOUS = Map.of("caution", false, "corrected_weight_decay", false);

    /** The same of D-Adaptation's and Prodigy's. */
    private static final Map<String, Object> DADAPTATION = Map.of("fsdp_in_use", false, "slice_p", 1, "log_every", 0);

    private static final List<OptimizerKind<?, ?>> ALL = List.of(
            of("ADOPT", ADOPT.SCHEMA, ADOPT::new, TIMM),
            of("ASGD", ASGD.SCHEMA, ASGD::new),
            of("AdEMAMix", AdEMAMix.SCHEMA, AdEMAMix::new),
            of("AdaBelief", AdaBelief.SCHEMA, AdaBelief::new),
            new OptimizerKind<>("Adafactor", Adafactor.SCHEMA, Adafactor::new, Adafactor::addParamGroup, Map.of()),
            new OptimizerKind<>("AdafactorHF", AdafactorHF.SCHEMA, AdafactorHF::new, AdafactorHF::addParamGroup, Map.of()),
            of("Adadelta", Adadelta.SCHEMA, Adadelta::new),
            of("Adagrad", Adagrad.SCHEMA, Adagrad::new),
            of("Adam", Adam.SCHEMA, Adam::new),
            of("AdamMini", AdamMini.SCHEMA, AdamMini::new),
            of("AdamP", AdamP.SCHEMA, AdamP::new, Map.of("caution", false)),
            of("AdamW", AdamW.SCHEMA, AdamW::new, Map.of("decoupled_weight_decay", true)),
            of("AdamWScheduleFree", AdamWScheduleFree.SCHEMA, AdamWScheduleFree::new),
            of("Adamax", Adamax.SCHEMA, Adamax::new),
            of("Adan", Adan.SCHEMA, Adan::new, INCAUTIOUS),
            of("DAdaptAdam", DAdaptAdam.SCHEMA, DAdaptAdam::new, DADAPTATION),
            of("DAdaptSGD", DAdaptSGD.SCHEMA, DAdaptSGD::new, DADAPTATION),
            new OptimizerKind<>("Dion", Dion.SCHEMA, Dion::new, Dion::addParamGroup, Map.of()),
            of("LAMB", LAMB.SCHEMA, LAMB::new, INCAUTIOUS),
            of("LARC", LARC.SCHEMA, LARC::new),
            of("LARS", LARS.SCHEMA, LARS::new),
            new OptimizerKind<>("LBFGS", LBFGS.SCHEMA, LBFGS::new, OptimizerKind::refuseGroup, Map.of()),
            of("FTRL", FTRL.SCHEMA, FTRL::new),
            of("LaProp", LaProp.SCHEMA, LaProp::new, TIMM),
            of("Lion", Lion.SCHEMA, Lion::new, TIMM),
            of("MADGRAD", MADGRAD.SCHEMA, MADGRAD::new),
            of("MARS", MARS.SCHEMA, MARS::new, Map.of("caution", false)),
            new OptimizerKind<>("Muon", Muon.SCHEMA, Muon::new, Muon::addParamGroup, Map.of()),
            new OptimizerKind<>("MuonWithAuxAdam", MuonWithAuxAdam.SCHEMA, MuonWithAuxAdam::new, MuonWithAuxAdam::addParamGroup, Map.of()),
            of("NAdam", NAdam.SCHEMA, NAdam::new),
            new OptimizerKind<>("NorMuon", NorMuon.SCHEMA, NorMuon::new, NorMuon::addParamGroup, Map.of()),
            of("NovoGrad", NovoGrad.SCHEMA, NovoGrad::new),
            of("Prodigy", Prodigy.SCHEMA, Prodigy::new, DADAPTATION),
            of("RAdam", RAdam.SCHEMA, RAdam::new),
            of("RAdamScheduleFree", RAdamScheduleFree.SCHEMA, RAdamScheduleFree::new),
            of("RMSprop", RMSprop.SCHEMA, RMSprop::new),
            of("RMSpropTF", RMSpropTF.SCHEMA, RMSpropTF::new, INCAUTIOUS),
            of("Rprop", Rprop.SCHEMA, Rprop::new),
            of("SGD", SGD.SCHEMA, SGD::new),
            of("SGDScheduleFree", SGDScheduleFree.SCHEMA, SGDScheduleFree::new),
            new OptimizerKind<>("Ranger", Ranger.SCHEMA, Ranger::new, Ranger::addParamGroup, Map.of()),
            of("SGDP", SGDP.SCHEMA, SGDP::new, Map.of("caution", false)),
            new OptimizerKind<>("SOAP", SOAP.SCHEMA, SOAP::new, SOAP::addParamGroup, Map.of()),
            new OptimizerKind<>("Shampoo", Shampoo.SCHEMA, Shampoo::new, Shampoo::addParamGroup, Map.of()),
            of("SignSGD", SignSGD.SCHEMA, SignSGD::new),
            of("Signum", Signum.SCHEMA, Signum::new),
            of("SophiaG", SophiaG.SCHEMA, SophiaG::new),
            of("SparseAdam", SparseAdam.SCHEMA, SparseAdam::new),
            of("StableAdamW", StableAdamW.SCHEMA, StableAdamW::new),
            of("Yogi", Yogi.SCHEMA, Yogi::new));

    /** How torch carries a step out, which does not change what it computes. */
    private static final Set<String> IMPLEMENTATION = Set.of("foreach", "fused", "capturable");

    /** All names, for help texts. */
    public static final class Names implements Iterable<String> {
        @Override
        public Iterator<String> iterator() {
            return ALL.stream().<String>map(OptimizerKind::name).iterator();
        }
    }

    interface Constructor<T, O> {
        T construct(Engine engine, List<Parameter> parameters, O options);
    }

    interface GroupAdder<T, O> {
        void add(T optimizer, List<Parameter> parameters, O options);
    }

    /** An optimizer whose options are known, but not yet its parameters. */
    public interface Recipe {
        Optimizer make(Engine engine, List<List<Parameter>> groups);
    }

    private static <T extends FusedOptimizer<O>, O extends Record> OptimizerKind<T, O> of(
            String name, OptionSchema<O> schema, Constructor<T, O> constructor) {
        return of(name, schema, constructor, Map.of());
    }

    private static <T extends FusedOptimizer<O>, O extends Record> OptimizerKind<T, O> of(
            String name, OptionSchema<O> schema, Constructor<T, O> constructor, Map<String, ?> fixed) {
        return new OptimizerKind<>(name, schema, constructor, FusedOptimizer::addParamGroup, fixed);
    }

    private static void refuseGroup(LBFGS optimizer, List<Parameter> parameters, LBFGS.Options options) {
        throw PanoptimException.invalid(optimizer.name(), "LBFGS doesn't support per-parameter options (parameter groups)");
    }

    /** The names of all kinds. */
    public static List<String> names() {
        return ALL.stream().map(OptimizerKind::name).toList();
    }

    /** The kind that {@code keys} name as their {@code optimizer}. */
    public static OptimizerKind<?, ?> in(JsonKeys keys) {
        return named(keys.text("optimizer"), message -> keys.refusalOf("optimizer", message));
    }

    /** The kind of a name; {@code refusal} says where an unknown one was found. */
    public static OptimizerKind<?, ?> named(String name, Function<String, PanoptimException> refusal) {
        return ALL.stream().filter(kind -> kind.name.equals(name)).findFirst().orElseThrow(() -> refusal.apply(
                "no optimizer '" + name + "' in this version: it has " + names()));
    }

    /** An optimizer of one group, with torch's defaults except for some options by torch's names. */
    public Optimizer create(Engine engine, List<Parameter> parameters, Map<String, ?> options) {
        return constructor.construct(engine, parameters, schema.with(schema.defaults(), options));
    }

    /**
     * Reads options by torch's names: the keys that were not asked for yet.
     *
     * @param defaults what differs from torch's defaults; timm's {@code lookahead_alpha} or {@code lookahead_k} wraps a Lookahead
     *     around the optimizer
     * @param overrides for each group what differs from those
     */
    public Recipe recipe(JsonKeys defaults, List<JsonKeys> overrides) {
        double commonDecay = defaults.number(ParamGroup.INDEPENDENT_WEIGHT_DECAY, 0);
        List<Double> decays = overrides.stream()
                .map(group -> group.number(ParamGroup.INDEPENDENT_WEIGHT_DECAY, commonDecay)).toList();
        Optional<Lookahead.Options> lookahead = lookahead(defaults);
        O common = options(schema.defaults(), defaults);
        List<O> options = overrides.stream().map(group -> options(common, group)).toList();
        return (engine, groups) -> {
            T optimizer = constructor.construct(engine, groups.getFirst(), options.getFirst());
            try {
                for (int i = 1; i < groups.size(); i++) {
                    adder.add(optimizer, groups.get(i), options.get(i));
                }
                for (int i = 0; i < groups.size(); i++) {
                    optimizer.paramGroups().get(i).independentWeightDecay(decays.get(i));
                }
                return lookahead.isPresent() ? new Lookahead(optimizer, lookahead.get()) : optimizer;
            } catch (RuntimeException refused) {
                optimizer.close();
                throw refused;
            }
        };
    }

    /** The learning rate that it has by itself. */
    public double lr() {
        return schema.number(schema.defaults(), "lr");
    }

    private static Optional<Lookahead.Options> lookahead(JsonKeys keys) {
        boolean alpha = keys.has("lookahead_alpha");
        Lookahead.Options defaults = Lookahead.Options.defaults();
        return alpha | keys.has("lookahead_k") ? Optional.of(keys.located(() -> new Lookahead.Options(
                keys.number("lookahead_alpha", defaults.alpha()),
                Math.clamp(keys.integer("lookahead_k", defaults.k()), 0, Integer.MAX_VALUE)))) : Optional.empty();
    }

    private O options(O base, JsonKeys keys) {
        Map<String, Object> replacements = new LinkedHashMap<>();
        for (String key : keys.others()) {
            JsonNode value = keys.get(key);
            if (schema.names().contains(key)) {
                replacements.put(key, value.isNull() && schema.none(key).isPresent() ? schema.none(key).get()
                        : value.isTextual() && schema.isChoice(key) ? value.textValue() : option(keys, key, value));
            } else if (IMPLEMENTATION.contains(key)) {
                require(value.isBoolean() || value.isNull(), keys, key, "true, false or null", value);
            } else if (fixed.containsKey(key)) {
                require(isValue(value, fixed.get(key)), keys, key, fixed.get(key) + " for " + name, value);
            } else if (key.equals("differentiable")) {
                require(value.isBoolean() && !value.booleanValue(), keys, key, "false: this library does not differentiate "
                        + "through a step", value);
            } else {
                throw keys.refusalOf(key, "unknown option: " + name + " has " + schema.names());
            }
        }
        return keys.located(() -> schema.with(base, replacements));
    }

    private static Object option(JsonKeys keys, String key, JsonNode value) {
        if (value.isNumber()) {
            return value.doubleValue();
        }
        if (value.isBoolean()) {
            return value.booleanValue();
        }
        List<JsonNode> elements = StreamSupport.stream(value.spliterator(), false).toList();
        require(value.isArray() && elements.stream().allMatch(element -> element.isNumber() || element.isNull()), keys, key,
                "a number, true, false or a list of numbers", value);
        return elements.stream().mapToDouble(element -> element.isNull() ? Double.NaN : element.doubleValue()).toArray();
    }

    private static boolean isValue(JsonNode value, Object expected) {
        return expected instanceof Number number ? value.isNumber() && value.doubleValue() == number.doubleValue()
                : value.isBoolean() && expected.equals(value.booleanValue());
    }

    private static void require(boolean condition, JsonKeys keys, String key, String expected, JsonNode found) {
        if (!condition) {
            throw keys.refusalOf(key, "expected " + expected + ", found " + found);
        }
    }
}
