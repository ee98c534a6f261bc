package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.LerpRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.ScheduleFreeRow;
import io.panoptim.tensor.Parameter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What the schedule-free optimizers share. In training a parameter is y, between z, which steps, and x, the average of all z;
 * in evaluation it is x. Either follows from the other and z, so that none but z is stored.
 */
abstract class ScheduleFree<O extends Record> extends FusedOptimizer<O> {
    /** A parameter's history: whether it has z. */
    private static final int STARTED = 0;

    /** A group's history, under the source's names; the weight of z in the average comes last. */
    private static final int K = 0;
    private static final int WEIGHT_SUM = 1;
    private static final int LR_MAX = 2;
    private static final int SCHEDULED_LR = 3;
    private static final int TRAIN_MODE = 4;
    private static final int Z_WEIGHT = 5;

    private static final String Z = Rule.SCHEDULE_FREE.states().getFirst();

    private final int weightDecay;
    private final int r;
    private final int weightLrPower;
    private final int maximize;

    ScheduleFree(Engine engine, OptionSchema<O> schema, List<Parameter> parameters, O options) {
        super(engine, schema, Rule.SCHEDULE_FREE, parameters, options);
        weightDecay = schema.index("weight_decay");
        r = schema.index("r");
        weightLrPower = schema.index("weight_lr_power");
        maximize = schema.index("maximize");
    }

    /** Evaluation divides by the first. */
    static void checkBetas(String optimizer, Betas betas) {
        Check.betas(optimizer, betas);
        Check.check(betas.first() > 0, optimizer, "Invalid beta parameter at index 0: " + betas.first()
                + ": expected more than 0, which evaluation divides by");
    }

    /** How near to the average gradients are taken, in (0, 1). */
    abstract double interpolation(ParamGroup group);

    /** The learning rate of a group's step, counted from 1. */
    abstract double scheduledLr(ParamGroup group, double step);

    /** Sets the scalars that not every one of these optimizers has, and returns its flags. */
    abstract int own(ParamGroup group, double step, Rows rows, int row);

    final double warmedUp(ParamGroup group, double step, double warmupSteps) {
        return group.lr() * (step <= warmupSteps ? step / warmupSteps : 1.0);
    }

    /**
     * Moves the parameters to where gradients are to be taken, before the first step and after each evaluation. Without it a
     * step is refused, also when a group has been added since.
     */
    @Override
    public final void train() {
        change("train", () -> swap(true));
    }

    /** Moves the parameters to the average, which is to be evaluated and saved. */
    @Override
    public final void eval() {
        change("eval", () -> swap(false));
    }

    @Override
    protected final boolean movesValues() {
        return true;
    }

    private void swap(boolean train) {
        List<PairPass.Pair> pairs = new ArrayList<>();
        for (Entry entry : entries()) {
            if (entry.hasStepped() && isTraining(entry.group) != train) {
                pairs.add(new PairPass.Pair(entry.name, entry.group, entry.value(), entry.state(Z)));
            }
        }
        pairs(Rule.LERP).run(pairs, (group, rows, row) ->
                rows.set(row, LerpRow.WEIGHT, 1 - (train ? interpolation(group) : 1 / interpolation(group))));
        paramGroups().forEach(group -> groupHistory(group)[TRAIN_MODE] = train ? 1 : 0);
    }

    private boolean isTraining(ParamGroup group) {
        return groupHistory(group)[TRAIN_MODE] != 0;
    }

    /** What the source keeps in a group besides its options: {@code k}, {@code weight_sum}, …; {@code train_mode} is 0 or 1. */
    public final Map<String, Double> groupState(ParamGroup group) {
        Map<String, Double> state = new LinkedHashMap<>();
        groupNumbers().forEach((key, place) -> state.put(key, groupHistory(group)[place]));
        return state;
    }

    @Override
    protected final Map<String, Integer> groupNumbers() {
        return Map.of("k", K, "weight_sum", WEIGHT_SUM, "lr_max", LR_MAX, "scheduled_lr", SCHEDULED_LR, "train_mode", TRAIN_MODE);
    }

    @Override
    protected final Object groupNumber(String key, double value) {
        return switch (key) {
            case "k" -> (Object) (long) value;
            case "train_mode" -> value != 0;
            default -> value;
        };
    }

    @Override
    protected final double[] initialGroupHistory() {
        return new double[] {0, 0, -1, 0, 0, 0};
    }

    @Override
    protected final void advance(ParamGroup group, double[] history, double[] next) {
        if (!isTraining(group)) {
            throw PanoptimException.invalid(name() + ".step", "Optimizer was not in train mode when step is called. Please "
                    + "insert .train() and .eval() calls on the optimizer. See documentation for details.");
        }
        double step = history[K] + 1;
        double lr = scheduledLr(group, step);
        double largest = Math.max(lr, history[LR_MAX]);
        if (largest == 0 && group.value(weightLrPower) < 0) {
            throw PanoptimException.invalid(name() + ".step", "0.0 cannot be raised to a negative power: the largest learning "
                    + "rate so far is 0 and weight_lr_power " + group.value(weightLrPower));
        }
        double weight = CMath.pow(step, group.value(r)) * CMath.pow(largest, group.value(weightLrPower));
        double sum = history[WEIGHT_SUM] + weight;
        next[K] = step;
        next[TRAIN_MODE] = 1;
        next[WEIGHT_SUM] = sum;
        next[LR_MAX] = largest;
        next[SCHEDULED_LR] = lr;
        next[Z_WEIGHT] = sum == 0 ? 0 : weight / sum;
    }

    @Override
    protected final void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double[] kept = nextGroupHistory(group);
        double lr = kept[SCHEDULED_LR];
        double decay = group.value(weightDecay);
        next[STARTED] = 1;
        int flags = own(group, kept[K], rows, row);
        rows.set(row, ScheduleFreeRow.WEIGHT_DECAY, decay)
                .set(row, ScheduleFreeRow.Z_WEIGHT, kept[Z_WEIGHT])
                .set(row, ScheduleFreeRow.STEP_SIZE, lr * (interpolation(group) * (1 - kept[Z_WEIGHT]) - 1))
                .set(row, ScheduleFreeRow.Z_STEP_SIZE, -lr)
                .flags(row, flags | Rows.flag(ScheduleFreeRow.MAXIMIZE, group.value(maximize) != 0)
                        | Rows.flag(ScheduleFreeRow.L2, decay != 0)
                        | Rows.flag(ScheduleFreeRow.FIRST, history[STARTED] == 0));
    }

    @Override
    protected final Map<String, Integer> filled() {
        return Map.of(Z, STARTED);
    }

    @Override
    protected final Map<String, Integer> numbers() {
        return Map.of();
    }
}
