package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Parameter;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/** Parameters that share hyperparameters. These can be read and changed between any two steps. */
public final class ParamGroup {
    /** The name of {@link #independentWeightDecay()} among the options. */
    public static final String INDEPENDENT_WEIGHT_DECAY = "independent_weight_decay";

    static final String PARAMS = "params";
    static final String PARAM_NAMES = "param_names";

    private static final AtomicLong FREEZES = new AtomicLong();

    /** All that can change of a group. */
    record Content(double[] values, double independentWeightDecay, Map<String, @Nullable Object> fields) {}

    private final OptionSchema<?> schema;
    private final List<Parameter> params;
    private final double[] values;
    private final int lr;
    private final boolean decaysIndependently;
    private final Map<String, @Nullable Object> fields = new LinkedHashMap<>();
    private final Map<String, @Nullable Object> fieldsView = Collections.unmodifiableMap(fields);
    private double independentWeightDecay;
    private boolean frozen;

    ParamGroup(OptionSchema<?> schema, List<Parameter> params, Record options, boolean decaysIndependently) {
        this.decaysIndependently = decaysIndependently;
        this.schema = schema;
        this.params = List.copyOf(params);
        this.values = schema.values(options);
        this.lr = schema.index("lr");
    }

    public List<Parameter> params() {
        return params;
    }

    /** torch's names of the options, in the order of its constructor. */
    public List<String> optionNames() {
        return schema.names();
    }

    /**
     * An option by torch's name: a Double, an Integer, a Boolean, an optional one, an enum's constant or a record such as {@link Betas}; or
     * {@value #INDEPENDENT_WEIGHT_DECAY}.
     */
    public Object get(String name) {
        return name.equals(INDEPENDENT_WEIGHT_DECAY) ? (Object) independentWeightDecay : schema.get(values, name);
    }

    /** An option by torch's name as Python prints it: {@code (0.9, 0.999)}, {@code None}. */
    public String text(String name) {
        return name.equals(INDEPENDENT_WEIGHT_DECAY) ? "" + independentWeightDecay : schema.text(values, name);
    }

    /**
     * Changes an option by torch's name, from the next step on.
     *
     * @throws PanoptimException when there is no such option, or the value is out of its range
     */
    public void set(String name, Object value) {
        if (name.equals(INDEPENDENT_WEIGHT_DECAY) && value instanceof Number number) {
            independentWeightDecay(number.doubleValue());
            return;
        }
        double[] changed = values.clone();
        changed[lr] = schema.values(schema.defaults())[lr]; // a schedule may have left the range that a constructor accepts
        schema.set(changed, name, value);
        schema.options(changed);
        schema.set(values, name, value);
    }

    public double lr() {
        return values[lr];
    }

    /** Sets the learning rate. As in torch a schedule may leave the range that a constructor accepts, but not be NaN. */
    public void lr(double newLr) {
        if (Double.isNaN(newLr)) {
            throw PanoptimException.invalid("ParamGroup.lr", "Invalid learning rate: NaN");
        }
        values[lr] = newLr;
    }

    /** The part of every value that a step takes away before anything else, whatever the learning rate; 0 by default. */
    public double independentWeightDecay() {
        return independentWeightDecay;
    }

    /**
     * Lets every value decay by a fixed part at each step, independently of the learning rate and on top of the optimizer's own
     * weight decay: {@code p = p * (1 - part)}, in the same pass, before the update (Loshchilov and Hutter's decoupled decay with
     * its schedule left to the caller; torch multiplies by the learning rate).
     *
     * @param part in [0, 1)
     */
    public void independentWeightDecay(double part) {
        checkIndependentWeightDecay(part);
        independentWeightDecay = part;
    }

    void checkIndependentWeightDecay(double part) {
        if (!(part >= 0 && part < 1)) {
            throw PanoptimException.invalid("ParamGroup.independentWeightDecay", "Invalid independent_weight_decay value: " + part
                    + ": expected a part in [0, 1)");
        }
        if (part > 0 && !decaysIndependently) {
            throw PanoptimException.unsupported("ParamGroup.independentWeightDecay", "this optimizer has no fused update that "
                    + "values could decay in");
        }
    }

    /** Whether steps skip this group. */
    public boolean isFrozen() {
        return frozen;
    }

    /**
     * Freezes the group, or thaws it: a step then skips its parameters, their state and their step counts as if they had no gradients,
     * whatever gradients they have. Like torch's {@code requires_grad} it is not saved.
     */
    public void frozen(boolean newFrozen) {
        if (newFrozen != frozen) {
            frozen = newFrozen;
            FREEZES.incrementAndGet();
        }
    }

    /** How often any gradient has come, gone or been replaced, or any group was frozen or thawed. */
    public static long gradientChanges() {
        return Parameter.gradientChanges() + FREEZES.get();
    }

    /**
     * Entries beside the options, which change no step, as torch's groups may have: a user's own, and what schedulers leave
     * there ({@code initial_lr} and others).
     */
    public Map<String, @Nullable Object> fields() {
        return fieldsView;
    }

    /**
     * Sets an entry beside the options.
     *
     * @throws PanoptimException when it has an option's name
     */
    public void field(String name, @Nullable Object value) {
        if (name.equals(INDEPENDENT_WEIGHT_DECAY) || schema.names().contains(name)) {
            throw PanoptimException.invalid("ParamGroup.field", "'" + name + "' is an option: change it by ParamGroup.set");
        }
        if (name.equals(PARAMS) || name.equals(PARAM_NAMES)) {
            throw PanoptimException.invalid("ParamGroup.field", "'" + name + "' is what a state dictionary calls the parameters");
        }
        fields.put(name, value);
    }

    /** One of the numbers that the options are kept as, by its place in the schema. */
    public double value(int index) {
        return values[index];
    }

    /** Sets one of these numbers unchecked. */
    void value(int index, double newValue) {
        values[index] = newValue;
    }

    Content content() {
        return new Content(values.clone(), independentWeightDecay, new LinkedHashMap<>(fields));
    }

    void content(Content content) {
        System.arraycopy(content.values, 0, values, 0, values.length);
        independentWeightDecay = content.independentWeightDecay;
        fields.clear();
        fields.putAll(content.fields);
    }

    /** The entries of a state dictionary but the parameters' numbers: options, then others. */
    Map<String, @Nullable Object> saved() {
        Map<String, @Nullable Object> saved = new LinkedHashMap<>();
        schema.names().forEach(name -> saved.put(name, schema.plain(values, name)));
        if (independentWeightDecay > 0) {
            saved.put(INDEPENDENT_WEIGHT_DECAY, independentWeightDecay);
        }
        saved.putAll(fields);
        if (isNamed()) {
            saved.put(PARAM_NAMES, names());
        }
        return saved;
    }

    /**
     * What a saved group says. As in torch options that it lacks stay as they are, and what is no option is kept as a field.
     *
     * @param others entries that are neither
     */
    Content loaded(StateDict.Saved saved, Set<String> others) {
        double[] loaded = values.clone();
        Map<String, @Nullable Object> entries = new LinkedHashMap<>();
        double decay = 0;
        for (Map.Entry<?, ?> entry : saved.values().entrySet()) {
            if (!(entry.getKey() instanceof String name)) {
                throw saved.refusal("has a key that is no string: " + entry.getKey());
            }
            Object value = entry.getValue();
            try {
                if (schema.names().contains(name)) {
                    schema.setPlain(loaded, name, value);
                } else if (name.equals(INDEPENDENT_WEIGHT_DECAY)) {
                    decay = value instanceof Number number ? number.doubleValue() : Double.NaN;
                    checkIndependentWeightDecay(decay);
                } else if (!name.equals(PARAMS) && !name.equals(PARAM_NAMES) && !others.contains(name)) {
                    entries.put(name, value);
                }
            } catch (PanoptimException refused) {
                throw saved.refusal(name, refused.getMessage());
            }
        }
        return new Content(loaded, decay, entries);
    }

    private boolean isNamed() {
        return params.getFirst().name() != null;
    }

    private List<@Nullable String> names() {
        return params.stream().map(Parameter::name).toList();
    }

    /** Like torch's: one option or other entry a line. */
    @Override
    public String toString() {
        Map<String, @Nullable Object> lines = new TreeMap<>(fields);
        fields.forEach((name, value) -> lines.put(name, value == null ? "None" : value));
        if (isNamed()) {
            lines.put(PARAM_NAMES, names().stream().map(name -> "'" + name + "'").toList());
        }
        schema.names().forEach(name -> lines.put(name, schema.text(values, name)));
        if (independentWeightDecay > 0) {
            lines.put(INDEPENDENT_WEIGHT_DECAY, independentWeightDecay);
        }
        StringBuilder text = new StringBuilder();
        lines.forEach((name, value) -> text.append("    ").append(name).append(": ").append(value).append('\n'));
        return text.toString();
    }
}
