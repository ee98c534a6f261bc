package io.panoptim.engine;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What an update rule reads and writes. Its arithmetic is the engines': {@code kernels/rule/} and, in plain Java, the reference
 * engine have that of the constants here, which {@code kernels/rules.txt} lists.
 */
public final class Rule implements BuiltInRules {
    private final int id;
    private final String name;
    private final List<String> states;
    private final int minSlots;
    private final List<String> sharedStates;
    private final List<String> scalars;
    private final List<String> flags;
    private final @Nullable RuleSums sums;
    private final String exactness;

    Rule(int id, String name, List<String> states, int minSlots, List<String> sharedStates, List<String> scalars,
         List<String> flags, @Nullable RuleSums sums, String exactness) {
        this.id = id;
        this.name = name;
        this.states = states;
        this.minSlots = minSlots;
        this.sharedStates = sharedStates;
        this.scalars = scalars;
        this.flags = flags;
        this.sums = sums;
        this.exactness = exactness;
    }

    /** The rules that every engine has, in the order of their identifiers. */
    public static List<Rule> all() {
        return ALL;
    }

    /** The number by which native code knows the rule. */
    public int id() {
        return id;
    }

    /** Lower case, as its header is named. */
    public String name() {
        return name;
    }

    /** torch's keys of the state slots, in slot order; those from {@link #minSlots()} on are optional. */
    public List<String> states() {
        return states;
    }

    /** The number of state slots that every use of the rule has. */
    public int minSlots() {
        return minSlots;
    }

    /** The keys of the states that a tensor, its rows or all tensors have one float64 value of; they follow the others. */
    public List<String> sharedStates() {
        return sharedStates;
    }

    /** The names of a row's scalars, in row order. */
    public List<String> scalars() {
        return scalars;
    }

    /** The names of a row's flags, from bit 0 on. */
    public List<String> flags() {
        return flags;
    }

    /** The sums that an update needs first, or null. */
    public @Nullable RuleSums sums() {
        return sums;
    }

    /** {@code bits}, {@code engines} or a bound in ulp, as the list of rules explains. */
    public String exactness() {
        return exactness;
    }

    @Override
    public String toString() {
        return name;
    }
}
