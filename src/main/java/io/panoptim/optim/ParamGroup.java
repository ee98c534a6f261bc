package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Parameter;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Parameters that share hyperparameters. These can be read and changed between any two steps. */
public final class ParamGroup {
    /** The name of {@link #independentWeightDecay()} among the options. */
    public static final String INDEPENDENT_WEIGHT_DECAY = "independent_weight_decay";

    private final OptionSchema<?> schema;
    private final List<Parameter> params;
    private final double[] values;
    private final int lr;
    private final boolean decaysIndependently;
    private final Map<String, Object> fields = new LinkedHashMap<>();
    private final Map<String, Object> fieldsView = Collections.unmodifiableMap(fields);
    private double independentWeightDecay;

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

    /**
     * Entries beside the options, which change no step, as torch's groups may have: a user's own, and what schedulers leave
     * there ({@code initial_lr} and others).
     */
    public Map<String, Object> fields() {
        return fieldsView;
    }

    /**
     * Sets an entry beside the options.
     *
     * @throws PanoptimException when it has an option's name
     */
    public void field(String name, Object value) {
        if (name.equals(INDEPENDENT_WEIGHT_DECAY) || schema.names().contains(name)) {
            throw PanoptimException.invalid("ParamGroup.field", "'" + name + "' is an option: change it by ParamGroup.set");
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

    /** Like torch's: one option or other entry a line. */
    @Override
    public String toString() {
        Map<String, Object> lines = new TreeMap<>(fields);
        schema.names().forEach(name -> lines.put(name, schema.text(values, name)));
        if (independentWeightDecay > 0) {
            lines.put(INDEPENDENT_WEIGHT_DECAY, independentWeightDecay);
        }
        StringBuilder text = new StringBuilder();
        lines.forEach((name, value) -> text.append("    ").append(name).append(": ").append(value).append('\n'));
        return text.toString();
    }
}
