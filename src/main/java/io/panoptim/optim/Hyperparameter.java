package io.panoptim.optim;

import io.panoptim.PanoptimException;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** One number of each group of an optimizer, which a scheduler reads and sets; see {@link Optimizer#hyperparameter}. */
public final class Hyperparameter implements Schedulable {
    private static final Pattern NAME = Pattern.compile("(\\w+)(?:\\[(\\d{1,9})])?");
    /** In the place of an index: the decay that is not among the options. */
    private static final int INDEPENDENT = -1;

    private final Optimizer optimizer;
    private final String name;
    private final int index;
    private final boolean integer;
    private final List<ParamGroup> groups;
    private final long lastEpoch;

    private Hyperparameter(Optimizer optimizer, String name, int index, boolean integer, List<ParamGroup> groups, long lastEpoch) {
        this.optimizer = optimizer;
        this.name = name;
        this.index = index;
        this.integer = integer;
        this.groups = groups;
        this.lastEpoch = lastEpoch;
    }

    static Hyperparameter of(Optimizer optimizer, OptionSchema<?> schema, String name) {
        int index = index(optimizer, schema, name);
        return new Hyperparameter(optimizer, name, index, schema.isInteger(index), optimizer.paramGroups(), -1);
    }

    private static int index(Optimizer optimizer, OptionSchema<?> schema, String name) {
        if (name.equals(ParamGroup.INDEPENDENT_WEIGHT_DECAY)) {
            return INDEPENDENT;
        }
        Matcher parts = NAME.matcher(name);
        String option = parts.matches() ? parts.group(1) : name;
        @Nullable String element = parts.matches() ? parts.group(2) : null;
        int offset = schema.index(option);
        int numbers = schema.numbers(option);
        int place = element == null ? 0 : Integer.parseInt(element);
        if (numbers == 0) {
            throw PanoptimException.invalid(optimizer.name(), "'" + option + "' is a " + (schema.isChoice(option) ? "choice" : "flag")
                    + ": only numbers can be scheduled");
        }
        if (place >= numbers || numbers > 1 && element == null) {
            throw PanoptimException.invalid(optimizer.name(), "no number '" + name + "': '" + option + "' has " + (numbers == 1
                    ? "one, '" + option + "'" : numbers + ", '" + option + "[0]' to '" + option + "[" + (numbers - 1) + "]'"));
        }
        return offset + place;
    }

    /**
     * The same number of some groups only.
     *
     * @param indices of groups, from 0, in the order in which a scheduler's lists name them
     */
    public Hyperparameter ofGroups(int... indices) {
        List<ParamGroup> all = optimizer.paramGroups();
        for (int i : indices) {
            if (i < 0 || i >= all.size()) {
                throw PanoptimException.invalid("Hyperparameter.ofGroups", "no group " + i + ": the optimizer has " + all.size());
            }
        }
        if (indices.length == 0 || Arrays.stream(indices).distinct().count() < indices.length) {
            throw PanoptimException.invalid("Hyperparameter.ofGroups", "expected at least one group, each once, but got "
                    + Arrays.toString(indices));
        }
        return new Hyperparameter(optimizer, name, index, integer, Arrays.stream(indices).mapToObj(all::get).toList(), lastEpoch);
    }

    /**
     * For a scheduler that goes on after this epoch, as torch's {@code last_epoch}: the groups must have their initial values
     * among their {@linkplain ParamGroup#fields() fields}. Loading a scheduler's state is the simpler way to go on.
     */
    public Hyperparameter withLastEpoch(long newLastEpoch) {
        if (newLastEpoch < -1) {
            throw PanoptimException.invalid("Hyperparameter.withLastEpoch", "expected an epoch, or -1 to start, but got "
                    + newLastEpoch);
        }
        return new Hyperparameter(optimizer, name, index, integer, groups, newLastEpoch);
    }

    public Optimizer optimizer() {
        return optimizer;
    }

    /** As it was asked for: {@code lr}, {@code weight_decay}, {@code betas[1]}. */
    public String name() {
        return name;
    }

    /** The groups that it is of; all of the optimizer's, those added later too, unless they were chosen. */
    public List<ParamGroup> groups() {
        return groups;
    }

    /** The epoch after which a scheduler goes on; -1 for one that starts. */
    public long lastEpoch() {
        return lastEpoch;
    }

    public double get(ParamGroup group) {
        return index == INDEPENDENT ? group.independentWeightDecay() : group.value(index);
    }

    /**
     * Sets it, allocating nothing. As in torch a schedule may leave the range that an optimizer's constructor accepts.
     *
     * @throws PanoptimException when the value is NaN, or no integer where the optimizer takes one
     */
    public void set(ParamGroup group, double value) {
        check(group, value);
        if (index == INDEPENDENT) {
            group.independentWeightDecay(value);
        } else {
            group.value(index, value);
        }
    }

    /** Refuses what {@link #set} would refuse. */
    public void check(ParamGroup group, double value) {
        if (Double.isNaN(value)) {
            throw PanoptimException.invalid("Hyperparameter.set", "Invalid " + name + " value: NaN");
        }
        if (integer && value != (int) value) {
            throw PanoptimException.invalid("Hyperparameter.set", "Invalid " + name + " value: " + value + ": expected an integer");
        }
        if (index == INDEPENDENT) {
            group.checkIndependentWeightDecay(value);
        }
    }

    /** Whether it is the same number of the same groups, which those of an optimizer and of one around it are. */
    public boolean isSame(Hyperparameter other) {
        return index == other.index && groups.equals(other.groups);
    }

    @Override
    public Hyperparameter scheduled() {
        return this;
    }

    @Override
    public String toString() {
        return name + " of " + optimizer.name();
    }
}
