package io.panoptim.optim.wrap;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Engine;
import io.panoptim.engine.LookaheadRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.optim.Check;
import io.panoptim.optim.FusedOptimizer;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.DoubleSupplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Lookahead around any optimizer, as timm's {@code timm.optim.Lookahead}: every {@code k} steps slow weights move towards the
 * parameters, which then go on from these, {@code slow += alpha * (fast - slow); fast = slow}: one pass for all groups. The slow
 * weights start as a copy of a parameter when it is their turn for the first time; in the paper they start with training. A
 * parameter without a gradient is left out, and one with a sparse gradient refused.
 *
 * <p>The groups are the wrapped optimizer's, and so are added there; schedulers can be attached to either. Closing this closes the
 * wrapped optimizer too.
 *
 * <p>State: the wrapped optimizer's, and {@code lookahead_slow_buff} after {@code k} steps. As in timm a state dictionary's groups
 * have {@code lookahead_step}, {@code lookahead_alpha} and {@code lookahead_k}, too; loading sets these. The wrapped optimizer's own
 * hooks see its steps, but not this one's state dictionaries.
 *
 * @see <a href="https://github.com/huggingface/pytorch-image-models/blob/main/timm/optim/lookahead.py">timm.optim.Lookahead</a>
 * @see <a href="https://arxiv.org/abs/1907.08610">Zhang et al., Lookahead Optimizer: k steps forward, 1 step back</a>
 */
public class Lookahead extends Optimizer {
    /**
     * The options, with timm's names and defaults.
     *
     * @param alpha how far the slow weights move, in [0, 1]
     * @param k after how many steps, at least 1
     */
    public record Options(double alpha, int k) {
        /** Refuses what is out of range, in timm's words. */
        public Options {
            check("Lookahead", alpha, k);
        }

        /** timm's defaults. */
        public static Options defaults() {
            return new Options(0.5, 6);
        }

        public Options withAlpha(double newAlpha) {
            return new Options(newAlpha, k);
        }

        public Options withK(int newK) {
            return new Options(alpha, newK);
        }

        /** Refuses an optimizer's options that are out of range, in timm's words. */
        public static void check(String optimizer, double alpha, int k) {
            Check.check(alpha >= 0 && alpha <= 1, optimizer, "Invalid slow update rate: " + alpha);
            Check.check(k >= 1, optimizer, "Invalid lookahead steps: " + k);
        }
    }

    private static final String ALPHA = "lookahead_alpha";
    private static final String K = "lookahead_k";
    private static final String STEP = "lookahead_step";

    private final Optimizer wrapped;
    private Options options;
    private final String key;
    private final boolean startsAtOnce;
    private final SlowWeights slow;
    /** Parameters whose slow weights are to start before their first step. */
    private final List<Parameter> waiting = new ArrayList<>();
    /** By group how many steps there were. */
    private long[] counts = {};

    /** Around an optimizer, which is closed with this. */
    public Lookahead(Optimizer wrapped, Options options) {
        this(wrapped, options, "lookahead_slow_buff", false);
    }

    /**
     * With a name of its own for the slow weights.
     *
     * @param startsAtOnce whether they start before a parameter's first step instead of after {@code k} steps
     */
    protected Lookahead(Optimizer wrapped, Options options, String key, boolean startsAtOnce) {
        super(wrapped);
        this.wrapped = wrapped;
        this.options = options;
        this.key = key;
        this.startsAtOnce = startsAtOnce;
        this.slow = new SlowWeights(wrapped.engine(), wrapped.paramGroups().getFirst().params());
    }

    /** How far the slow weights of a group move. */
    protected double alpha(ParamGroup group) {
        return options.alpha;
    }

    /** After how many steps those of a group move. */
    protected int k(ParamGroup group) {
        return options.k;
    }

    @Override
    protected final void checkUpdate(boolean skipsOverflow) {
        check();
        checkReady(wrapped, skipsOverflow);
    }

    @Override
    protected final void update() {
        prepare();
        wrapped.step();
        follow();
    }

    /** The wrapped optimizer begins with the evaluation that there was, and may go on to others. */
    @Override
    protected final void updateWith(double loss, DoubleSupplier closure) {
        prepare();
        boolean[] evaluated = {false};
        wrapped.step(() -> {
            boolean again = evaluated[0];
            evaluated[0] = true;
            return again ? closure.getAsDouble() : loss;
        });
        follow();
    }

    /** What comes before the wrapped optimizer's step. */
    private void prepare() {
        check();
        if (startsAtOnce) {
            start();
        }
    }

    /** Refuses what would fail after the wrapped optimizer's step, and finds out whose turn it is. */
    private void check() {
        if (wrapped instanceof FusedOptimizer<?> fused && fused.storage().values().hasMore()) {
            throw PanoptimException.unsupported(name() + ".step", "slow weights change the values outside of the steps of "
                    + wrapped.name() + ", which " + fused.storage().values() + " would undo");
        }
        addGroups();
        List<ParamGroup> groups = paramGroups();
        for (int i = 0; i < counts.length; i++) {
            ParamGroup group = groups.get(i);
            slow.paramGroups().get(i).frozen(group.isFrozen());
            Check.check(k(group) >= 1, name() + ".step", "Invalid lookahead steps: " + k(group));
            slow.turns[i] = (counts[i] + 1) % k(group) == 0;
            if (!group.isFrozen()) {
                group.params().forEach(this::checkDense);
            }
        }
    }

    private void checkDense(Parameter parameter) {
        if (parameter.sparseGradient() != null) {
            throw PanoptimException.unsupported(name() + ".step", parameter + " has a sparse gradient, and slow weights follow whole "
                    + "tensors: give it to an optimizer of its own");
        }
    }

    private void addGroups() {
        List<ParamGroup> groups = paramGroups();
        if (counts.length < groups.size()) {
            for (int i = slow.paramGroups().size(); i < groups.size(); i++) {
                slow.addParamGroup(groups.get(i).params(), SlowWeights.Options.DEFAULTS);
            }
            for (int i = counts.length; i < groups.size() && startsAtOnce; i++) {
                waiting.addAll(groups.get(i).params());
            }
            counts = Arrays.copyOf(counts, groups.size());
            slow.turns = Arrays.copyOf(slow.turns, groups.size());
        }
    }

    /** Starts the slow weights of parameters that have their first gradient now. */
    private void start() {
        boolean any = false;
        for (int i = 0; i < waiting.size() && !any; i++) {
            any = starts(waiting.get(i));
        }
        if (any) {
            slow.starting = true;
            try {
                slow.step();
            } finally {
                slow.starting = false;
            }
            waiting.removeIf(this::starts);
        }
    }

    private boolean starts(Parameter parameter) {
        return parameter.gradient() != null
                && slow.paramGroups().stream().anyMatch(group -> !group.isFrozen() && group.params().contains(parameter));
    }

    private void follow() {
        boolean any = false;
        for (int i = 0; i < counts.length; i++) {
            counts[i]++;
            slow.paramGroups().get(i).lr(alpha(paramGroups().get(i)));
            any |= slow.turns[i];
        }
        if (any) {
            try {
                slow.step();
            } catch (PanoptimException refused) {
                throw new PanoptimException(Code.FAULT, name() + ".step", "the parameters have been updated, but their slow weights "
                        + "could not follow", refused);
            }
        }
    }

    @Override
    public final void train() {
        change("train", wrapped::train);
    }

    @Override
    public final void eval() {
        change("eval", wrapped::eval);
    }

    @Override
    public final boolean needsClosure() {
        return wrapped.needsClosure();
    }

    @Override
    protected final Map<String, Tensor> stateOf(Parameter parameter) {
        Map<String, Tensor> state = new LinkedHashMap<>(wrapped.state(parameter));
        boolean known = slow.paramGroups().stream().anyMatch(group -> group.params().contains(parameter));
        Tensor weights = known ? slow.state(parameter).get(SlowWeights.KEY) : null;
        if (weights != null) {
            state.put(key, weights);
        }
        return state;
    }

    @Override
    protected final Map<String, @Nullable Object> save() {
        addGroups();
        Parts parts = Objects.requireNonNull(Parts.of(saveOf(wrapped)));
        Parts slowParts = Objects.requireNonNull(Parts.of(saveOf(slow)));
        slowParts.states.forEach((number, state) ->
                parts.states.computeIfAbsent(number, none -> new LinkedHashMap<>()).put(key, state.get(SlowWeights.KEY)));
        for (int i = 0; i < counts.length; i++) {
            Map<Object, @Nullable Object> group = parts.groups.get(i);
            group.put(STEP, counts[i]);
            if (!startsAtOnce) {
                group.put(ALPHA, options.alpha);
                group.put(K, options.k);
            }
        }
        return parts.dict();
    }

    /** Both optimizers check what is theirs before either takes it over. */
    @Override
    protected final Runnable prepareLoad(Map<String, ? extends @Nullable Object> dict) {
        addGroups();
        Parts parts = Parts.of(dict);
        if (parts == null || parts.groups.size() != counts.length) {
            return prepareLoadOf(wrapped, dict); // which says what is wrong
        }
        Parts slowParts = new Parts(new LinkedHashMap<>(), new ArrayList<>());
        parts.states.forEach((number, state) -> {
            Object weights = state.remove(key);
            if (weights != null) {
                slowParts.states.put(number, new LinkedHashMap<>(Map.of(SlowWeights.KEY, weights)));
            }
        });
        long[] loaded = new long[counts.length];
        Options newOptions = options;
        for (int i = 0; i < loaded.length; i++) {
            Map<Object, @Nullable Object> group = parts.groups.get(i);
            slowParts.groups.add(new LinkedHashMap<>(Map.of("params", Objects.requireNonNullElse(group.get("params"), List.of()))));
            loaded[i] = (long) number(i, STEP, group.remove(STEP), 0);
            if (!startsAtOnce) {
                Options found = new Options(number(i, ALPHA, group.remove(ALPHA), newOptions.alpha),
                        (int) number(i, K, group.remove(K), newOptions.k));
                if (i > 0 && !found.equals(newOptions)) {
                    throw PanoptimException.invalid(name() + ".loadStateDict", "param_groups[" + i + "] has " + found
                            + ", but the groups before have " + newOptions + ": they share one");
                }
                newOptions = found;
            }
        }
        Options taken = newOptions;
        Runnable loadWrapped = prepareLoadOf(wrapped, parts.dict());
        Runnable loadSlow = prepareLoadOf(slow, slowParts.dict());
        return () -> {
            loadWrapped.run();
            loadSlow.run();
            options = taken;
            counts = loaded;
            waiting.clear();
            if (startsAtOnce) {
                paramGroups().forEach(group -> group.params().stream().filter(parameter -> slow.state(parameter).isEmpty())
                        .forEach(waiting::add));
            }
        };
    }

    private double number(int group, String name, @Nullable Object value, double otherwise) {
        if (value != null && !(value instanceof Number)) {
            throw PanoptimException.invalid(name() + ".loadStateDict", "param_groups[" + group + "]['" + name
                    + "']: expected a number, found " + value);
        }
        return value instanceof Number number ? number.doubleValue() : otherwise;
    }

    /** Copies of a state dictionary's maps. */
    private record Parts(Map<Object, Map<Object, @Nullable Object>> states, List<Map<Object, @Nullable Object>> groups) {
        /** Null where it does not have that form. */
        static @Nullable Parts of(Map<String, ? extends @Nullable Object> dict) {
            if (!(dict.get("state") instanceof Map<?, ?> state) || !(dict.get("param_groups") instanceof List<?> list)
                    || !Stream.concat(state.values().stream(), list.stream()).allMatch(Map.class::isInstance)) {
                return null;
            }
            Parts parts = new Parts(new LinkedHashMap<>(), new ArrayList<>());
            state.forEach((number, values) -> parts.states.put(number, new LinkedHashMap<>((Map<?, ?>) values)));
            list.forEach(group -> parts.groups.add(new LinkedHashMap<>((Map<?, ?>) group)));
            return parts;
        }

        Map<String, @Nullable Object> dict() {
            Map<String, @Nullable Object> dict = new LinkedHashMap<>();
            dict.put("state", states);
            dict.put("param_groups", groups);
            return dict;
        }
    }

    @Override
    public final long stateBytes() {
        addGroups();
        return wrapped.stateBytes() + slow.stateBytes();
    }

    @Override
    protected final void added(ParamGroup group) {}

    @Override
    protected final void free() {
        slow.close();
        wrapped.close();
    }

    /** The slow weights, which are updated by a rule of their own. The learning rate is alpha. */
    private static final class SlowWeights extends FusedOptimizer<SlowWeights.Options> {
        record Options(double lr) {
            static final Options DEFAULTS = new Options(0);
        }

        static final String KEY = Rule.LOOKAHEAD.states().getFirst();
        private static final OptionSchema<Options> SCHEMA = OptionSchema.of("Lookahead", Options.DEFAULTS);

        /** History: whether they have started. */
        private static final int STARTED = 0;

        /** Whether those that have not started do so, and nothing else happens. */
        boolean starting;
        /** By group, whether it is their turn to follow. */
        boolean[] turns = {};

        SlowWeights(Engine engine, List<Parameter> parameters) {
            super(engine, SCHEMA, Rule.LOOKAHEAD, parameters, Options.DEFAULTS);
        }

        /** For messages: users do not know of two. */
        @Override
        public String name() {
            return "Lookahead";
        }

        @Override
        protected int slots(ParamGroup group) {
            return 1;
        }

        @Override
        protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
            boolean started = history[STARTED] != 0;
            boolean follows = !starting && turns[paramGroups().indexOf(group)];
            next[STARTED] = started || starting || follows ? 1 : 0;
            rows.set(row, LookaheadRow.ALPHA, group.lr()).flags(row, Rows.flag(LookaheadRow.STARTS, !started)
                    | Rows.flag(LookaheadRow.FOLLOWS, follows));
        }

        @Override
        protected Map<String, Integer> filled() {
            return Map.of(KEY, STARTED);
        }

        @Override
        protected Map<String, Integer> numbers() {
            return Map.of();
        }
    }
}
