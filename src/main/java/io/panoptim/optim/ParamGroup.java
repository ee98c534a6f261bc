package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.OptionalDouble;

/** Parameters that share hyperparameters. These can be read and changed between any two steps. */
public final class ParamGroup {
    private final OptionSchema<?> schema;
    private final List<Parameter> params;
    private final double[] values;
    private final int lr;
    private OptionalDouble initialLr = OptionalDouble.empty();

    ParamGroup(OptionSchema<?> schema, List<Parameter> params, Record options) {
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

    /** An option by torch's name: a Double, a Boolean or {@link Betas}. */
    public Object get(String name) {
        return schema.get(values, name);
    }

    /**
     * Changes an option by torch's name, from the next step on.
     *
     * @throws PanoptimException when there is no such option, or the value is out of its range
     */
    public void set(String name, Object value) {
        double[] changed = values.clone();
        changed[lr] = 0; // a schedule may have left the range that a constructor accepts
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

    /** The learning rate from which schedulers start, once one has been attached. */
    public OptionalDouble initialLr() {
        return initialLr;
    }

    /** Sets the learning rate from which schedulers start. */
    public void initialLr(double newInitialLr) {
        initialLr = OptionalDouble.of(newInitialLr);
    }

    /** One of the numbers that the options are kept as, by its place in the schema. */
    public double value(int index) {
        return values[index];
    }

    /** Like torch's: one option a line. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        schema.names().stream().sorted().forEach(name -> text.append("    ").append(name).append(": ")
                .append(get(name)).append('\n'));
        return text.toString();
    }
}
