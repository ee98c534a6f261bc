package io.panoptim.engine;

import io.panoptim.PanoptimException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What an update rule reads and writes. Its arithmetic is the engines': {@code kernels/rule/} and, in plain Java, the reference
 * engine have that of the constants here, which {@code kernels/rules.txt} lists.
 *
 * <p>Anybody can add elementwise rules: in plain Java ({@link #define}), for the reference engine, and compiled from a C++
 * header ({@link #load}), for the CPU engine. A rule that is given in both forms ({@link #withLibrary}) runs on both.
 */
public final class Rule implements BuiltInRules {
    /** The number of rules that an engine numbers itself. */
    private static final int NONE = -1;

    private final int id;
    private final String name;
    private final List<String> states;
    private final List<String> codes;
    private final int minSlots;
    private final List<String> sharedStates;
    private final List<String> scalars;
    private final List<String> flags;
    private final @Nullable RuleSums sums;
    private final String exactness;
    private final @Nullable ElementUpdate update;
    private final @Nullable RuleLibrary library;

    Rule(int id, String name, List<String> states, List<String> codes, int minSlots, List<String> sharedStates, List<String> scalars,
         List<String> flags, @Nullable RuleSums sums, String exactness) {
        this(id, name, states, codes, minSlots, sharedStates, scalars, flags, sums, exactness, null, null);
    }

    private Rule(int id, String name, List<String> states, List<String> codes, int minSlots, List<String> sharedStates,
                 List<String> scalars, List<String> flags, @Nullable RuleSums sums, String exactness, @Nullable ElementUpdate update,
                 @Nullable RuleLibrary library) {
        this.id = id;
        this.name = name;
        this.states = states;
        this.codes = codes;
        this.minSlots = minSlots;
        this.sharedStates = sharedStates;
        this.scalars = scalars;
        this.flags = flags;
        this.sums = sums;
        this.exactness = exactness;
        this.update = update;
        this.library = library;
    }

    /** The rules that every engine has, in the order of their identifiers. */
    public static List<Rule> all() {
        return ALL;
    }

    /**
     * Begins a rule of one's own in plain Java: its names, then {@link Definition#update}.
     *
     * @param name a name such as {@code tiger}, for messages
     */
    public static Definition define(String name) {
        return new Definition(name);
    }

    /**
     * Loads a rule of one's own that was compiled from a C++ header ({@code kernels/user_rule.h} says how to write it). It stays
     * loaded until the process ends: a changed one needs another file name.
     *
     * <p>What is loaded is native code: it can do anything, and runs the instructions that it was compiled for.
     *
     * @throws PanoptimException when there is no such library, or it was compiled with the headers of another version
     */
    public static Rule load(Path library) {
        RuleLibrary loaded = RuleLibrary.load(library);
        return new Definition(loaded.name()).states(Stream.concat(loaded.states().stream(),
                        loaded.optionalStates().stream().map(key -> key + "?")).toArray(String[]::new))
                .scalars(loaded.scalars().toArray(String[]::new)).flags(loaded.flags().toArray(String[]::new)).rule(null, loaded);
    }

    /**
     * The same rule with its compiled form too, so that it also runs where native rules do.
     *
     * @param file a library, as for {@link #load}
     * @throws PanoptimException when the library's rule has other names than this one, or their order is another
     */
    public Rule withLibrary(Path file) {
        if (update == null) {
            throw PanoptimException.invalid("Rule.withLibrary", name + " is not a rule that Rule.define made");
        }
        Rule loaded = load(file);
        if (!loaded.signature().equals(signature())) {
            throw PanoptimException.invalid("Rule.withLibrary", file + " has the rule " + loaded.signature() + "; expected "
                    + signature());
        }
        return new Rule(id, name, states, codes, minSlots, sharedStates, scalars, flags, sums, exactness, update, loaded.library);
    }

    /** The number by which native code knows the rule; negative for a user's own, which each engine numbers itself. */
    public int id() {
        return id;
    }

    /** As its header is named. */
    public String name() {
        return name;
    }

    /** What the reference engine does for each element of a user's own rule, or null. */
    public @Nullable ElementUpdate update() {
        return update;
    }

    /** The compiled form of a user's own rule, or null. */
    public @Nullable RuleLibrary library() {
        return library;
    }

    /** torch's keys of the state slots, in slot order; those from {@link #minSlots()} on are optional. */
    public List<String> states() {
        return states;
    }

    /** Whether a state can be stored in 8 bits an element. */
    public boolean isQuantizable(int slot) {
        return !codes.get(slot).isEmpty();
    }

    /** Whether a state that can be is never negative, and so takes a code without a sign. */
    public boolean isUnsigned(int slot) {
        return codes.get(slot).equals("u");
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

    /**
     * Where a scalar lies in a row.
     *
     * @throws PanoptimException when the rule has no such scalar
     */
    public int scalar(String scalar) {
        return index("scalar", scalars, scalar);
    }

    /**
     * A flag's bit in a row.
     *
     * @throws PanoptimException when the rule has no such flag
     */
    public int flag(String flag) {
        return 1 << index("flag", flags, flag);
    }

    /**
     * A state's slot.
     *
     * @throws PanoptimException when the rule has no such state
     */
    public int state(String key) {
        return index("state", states, key);
    }

    private int index(String kind, List<String> names, String wanted) {
        int index = names.indexOf(wanted);
        if (index < 0) {
            throw PanoptimException.invalid("Rule " + name, "there is no " + kind + " '" + wanted + "', only " + names);
        }
        return index;
    }

    private String signature() {
        return name + " with states " + states.subList(0, minSlots) + ", optional states "
                + states.subList(minSlots, states.size()) + ", scalars " + scalars + " and flags " + flags;
    }

    @Override
    public String toString() {
        return name;
    }

    /** The names of a rule of one's own. Each is a word, as in Java or C++. */
    public static final class Definition {
        private final String name;
        private final List<String> states = new ArrayList<>();
        private int minSlots;
        private List<String> scalars = List.of();
        private List<String> flags = List.of();

        private Definition(String name) {
            this.name = name;
            check("names", List.of(name), 1);
        }

        /**
         * The keys of the states, one value for each element: at most 6. A question mark marks those that only some options
         * need, which come last: {@code states("exp_avg", "max_exp_avg?")}.
         */
        public Definition states(String... keys) {
            states.clear();
            minSlots = 0;
            for (String key : keys) {
                boolean optional = key.endsWith("?");
                if (!optional && minSlots < states.size()) {
                    throw PanoptimException.invalid(call(), "the state '" + key + "' is behind optional ones: these come last");
                }
                minSlots += optional ? 0 : 1;
                states.add(optional ? key.substring(0, key.length() - 1) : key);
            }
            check("states", states, Column.MAX_STATES);
            return this;
        }

        /** The scalars of a row, which the optimizer computes for each step: at most 16. */
        public Definition scalars(String... names) {
            scalars = List.of(names);
            check("scalars", scalars, Rows.SCALARS);
            return this;
        }

        /** The flags of a row, uniform over a tensor: at most 32. */
        public Definition flags(String... names) {
            flags = List.of(names);
            check("flags", flags, Integer.SIZE);
            return this;
        }

        /** The rule, for the reference engine: one call for each element, about a thousand times slower than a compiled rule. */
        public Rule update(ElementUpdate update) {
            return rule(update, null);
        }

        private Rule rule(@Nullable ElementUpdate update, @Nullable RuleLibrary library) {
            return new Rule(NONE, name, List.copyOf(states), states.stream().map(state -> "").toList(), minSlots, List.of(), scalars, flags, null, "engines", update, library);
        }

        private void check(String what, List<String> names, int most) {
            if (names.size() > most) {
                throw PanoptimException.invalid(call(), names.size() + " " + what + ": at most " + most + " are possible");
            }
            for (String each : names) {
                if (!each.matches("[A-Za-z_]\\w*")) {
                    throw PanoptimException.invalid(call(), "'" + each + "' among the " + what + " is not a word of letters, "
                            + "digits and underscores");
                }
            }
            if (new HashSet<>(names).size() < names.size()) {
                throw PanoptimException.invalid(call(), "the " + what + " " + names + " have one name twice");
            }
        }

        private String call() {
            return "Rule '" + name + "'";
        }
    }
}
