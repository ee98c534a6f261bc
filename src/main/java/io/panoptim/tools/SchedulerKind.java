package io.panoptim.tools;

import io.panoptim.optim.Hyperparameter;
import io.panoptim.optim.ParamGroup;
import io.panoptim.optim.Schedulable;
import io.panoptim.schedule.AnnealStrategy;
import io.panoptim.schedule.ChainedScheduler;
import io.panoptim.schedule.ConstantLR;
import io.panoptim.schedule.CosineAnnealingLR;
import io.panoptim.schedule.CosineAnnealingWarmRestarts;
import io.panoptim.schedule.CyclicLR;
import io.panoptim.schedule.ExponentialLR;
import io.panoptim.schedule.Factors;
import io.panoptim.schedule.GreedyLR;
import io.panoptim.schedule.LRScheduler;
import io.panoptim.schedule.LambdaLR;
import io.panoptim.schedule.LinearLR;
import io.panoptim.schedule.MultiStepLR;
import io.panoptim.schedule.MultiplicativeLR;
import io.panoptim.schedule.OneCycleLR;
import io.panoptim.schedule.PolynomialLR;
import io.panoptim.schedule.Ramp;
import io.panoptim.schedule.ReduceLROnPlateau;
import io.panoptim.schedule.RexLR;
import io.panoptim.schedule.SWALR;
import io.panoptim.schedule.SequentialLR;
import io.panoptim.schedule.StepLR;
import io.panoptim.schedule.TanhLR;
import io.panoptim.schedule.WarmupLR;
import java.util.Iterator;
import java.util.List;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.function.LongToDoubleFunction;

/**
 * A scheduler that the commands know by its name. A new one is a line in {@link #ALL}.
 *
 * @param name the class's name, in torch if it is there; or that of transformers
 * @param constructor makes one from the keyword arguments
 */
public record SchedulerKind(String name, BiFunction<Schedulable, JsonKeys, LRScheduler> constructor) {
    private static final List<SchedulerKind> ALL = List.of(
            new SchedulerKind("ChainedScheduler", (scheduled, keys) -> new ChainedScheduler(parts(scheduled, keys))),
            new SchedulerKind("ConstantLR", (scheduled, keys) ->
                    new ConstantLR(scheduled, keys.number("factor", 1.0 / 3), keys.integer("total_iters", 5))),
            new SchedulerKind("CosineAnnealingLR", (scheduled, keys) ->
                    new CosineAnnealingLR(scheduled, keys.integer("T_max"), keys.number("eta_min", 0))),
            new SchedulerKind("CosineAnnealingWarmRestarts", (scheduled, keys) ->
                    new CosineAnnealingWarmRestarts(scheduled, keys.integer("T_0"), keys.integer("T_mult", 1),
                            keys.number("eta_min", 0))),
            new SchedulerKind("CyclicLR", (scheduled, keys) -> new CyclicLR(scheduled, cyclic(keys))),
            new SchedulerKind("ExponentialLR", (scheduled, keys) -> new ExponentialLR(scheduled, keys.number("gamma"))),
            new SchedulerKind("GreedyLR", (scheduled, keys) -> new GreedyLR(scheduled, greedy(keys))),
            new SchedulerKind("LambdaLR", (scheduled, keys) -> tables(keys, table -> new LambdaLR(scheduled, table),
                    tables -> new LambdaLR(scheduled, tables))),
            new SchedulerKind("LinearLR", (scheduled, keys) ->
                    new LinearLR(scheduled, keys.number("start_factor", 1.0 / 3), keys.number("end_factor", 1),
                            keys.integer("total_iters", 5))),
            new SchedulerKind("MultiStepLR", (scheduled, keys) ->
                    new MultiStepLR(scheduled, keys.integers("milestones"), keys.number("gamma", 0.1))),
            new SchedulerKind("MultiplicativeLR", (scheduled, keys) -> tables(keys, table -> new MultiplicativeLR(scheduled, table),
                    tables -> new MultiplicativeLR(scheduled, tables))),
            new SchedulerKind("OneCycleLR", (scheduled, keys) -> new OneCycleLR(scheduled, oneCycle(keys))),
            new SchedulerKind("PolynomialLR", (scheduled, keys) ->
                    new PolynomialLR(scheduled, keys.integer("total_iters", 5), keys.number("power", 1))),
            new SchedulerKind("ReduceLROnPlateau", (scheduled, keys) -> new ReduceLROnPlateau(scheduled, plateau(keys))),
            new SchedulerKind("RexLR", (scheduled, keys) ->
                    new RexLR(scheduled, keys.integer("total_iters"), keys.number("eta_min", 0))),
            new SchedulerKind("SWALR", (scheduled, keys) ->
                    new SWALR(scheduled, keys.oneOrMoreNumbers("swa_lr"), keys.integer("anneal_epochs", 10),
                            keys.choice("anneal_strategy", AnnealStrategy.COS))),
            new SchedulerKind("SequentialLR", (scheduled, keys) ->
                    new SequentialLR(scheduled, parts(scheduled, keys), keys.integers("milestones"))),
            new SchedulerKind("StepLR", (scheduled, keys) ->
                    new StepLR(scheduled, keys.integer("step_size"), keys.number("gamma", 0.1))),
            new SchedulerKind("TanhLR", (scheduled, keys) ->
                    new TanhLR(scheduled, keys.integer("T_max"), keys.number("lb", -7), keys.number("ub", 3), keys.number("eta_min", 0))),
            new SchedulerKind("WarmupLR", (scheduled, keys) ->
                    new WarmupLR(attach(scheduled, keys.object("scheduler")), keys.integer("warmup_steps"),
                            keys.number("start_factor", 0), keys.choice("shape", Ramp.LINEAR))),

            factor("constant", (scheduled, keys) -> Factors.constant()),
            factor("constant_with_warmup", (scheduled, keys) -> Factors.constantWithWarmup(warmup(keys))),
            factor("cosine", (scheduled, keys) ->
                    Factors.cosine(warmup(keys), total(keys), keys.number("num_cycles", 0.5))),
            factor("cosine_warmup_with_min_lr", (scheduled, keys) -> cosineWarmup(keys, minimum(scheduled, keys))),
            factor("cosine_with_min_lr", (scheduled, keys) ->
                    Factors.cosineWithMin(warmup(keys), total(keys), keys.number("num_cycles", 0.5), minimum(scheduled, keys))),
            factor("cosine_with_restarts", (scheduled, keys) ->
                    Factors.cosineWithHardRestarts(warmup(keys), total(keys), keys.number("num_cycles", 1))),
            new SchedulerKind("greedy", (scheduled, keys) -> new GreedyLR(scheduled, greedy(keys))),
            factor("inverse_sqrt", (scheduled, keys) -> keys.hasValue("timescale")
                    ? Factors.inverseSqrt(warmup(keys), keys.integer("timescale")) : Factors.inverseSqrt(warmup(keys))),
            factor("linear", (scheduled, keys) -> Factors.linear(warmup(keys), total(keys))),
            factor("noam", (scheduled, keys) -> Factors.noam(keys.integer("model_size"), warmup(keys))),
            factor("polynomial", (scheduled, keys) ->
                    Factors.polynomial(warmup(keys), total(keys), lrInit(scheduled, keys), keys.number("lr_end", 1e-7),
                            keys.number("power", 1))),
            new SchedulerKind("reduce_lr_on_plateau", (scheduled, keys) -> new ReduceLROnPlateau(scheduled, plateau(keys))),
            factor("warmup_stable_decay", (scheduled, keys) -> warmupStableDecay(keys)));

    /** All names, for help texts. */
    public static final class Names implements Iterable<String> {
        @Override
        public Iterator<String> iterator() {
            return ALL.stream().map(SchedulerKind::name).iterator();
        }
    }

    /**
     * Attaches the scheduler that {@code keys} describe: with {@code param_group_field} to another hyperparameter than the
     * learning rate, and with {@code groups} to some groups.
     */
    public static LRScheduler attach(Schedulable given, JsonKeys keys) {
        String name = keys.text("name");
        SchedulerKind found = ALL.stream().filter(kind -> kind.name.equals(name)).findFirst().orElseThrow(() ->
                keys.refusal("no scheduler '" + name + "' in this version: it has "
                        + ALL.stream().map(SchedulerKind::name).toList()));
        Schedulable scheduled = scheduled(given, keys);
        LRScheduler scheduler = keys.located(() -> found.constructor.apply(scheduled, keys));
        if (keys.integer("last_epoch", -1) != -1) {
            throw keys.refusalOf("last_epoch", "expected -1, since a run begins at the first step");
        }
        keys.finish();
        return scheduler;
    }

    private static Schedulable scheduled(Schedulable given, JsonKeys keys) {
        Schedulable field = !keys.has("param_group_field") ? given
                : keys.located(() -> given.scheduled().optimizer().hyperparameter(keys.text("param_group_field")));
        return !keys.has("groups") ? field : keys.located(() -> field.scheduled().ofGroups(keys.smallIntegers("groups")));
    }

    private static SchedulerKind factor(String name, BiFunction<Schedulable, JsonKeys, LongToDoubleFunction> factor) {
        return new SchedulerKind(name, (scheduled, keys) -> new LambdaLR(scheduled, factor.apply(scheduled, keys)));
    }

    private static List<LRScheduler> parts(Schedulable scheduled, JsonKeys keys) {
        return keys.objects("schedulers").stream().map(part -> attach(scheduled, part)).toList();
    }

    /** JSON has no functions: a list holds the factor of each epoch, the last one for all further epochs. */
    private static LRScheduler tables(JsonKeys keys, Function<LongToDoubleFunction, LRScheduler> one,
                                      Function<List<LongToDoubleFunction>, LRScheduler> several) {
        if (keys.isListOfLists("lr_lambda")) {
            return several.apply(keys.lists("lr_lambda").stream().map(SchedulerKind::table).toList());
        }
        return one.apply(table(keys.numbers("lr_lambda")));
    }

    private static LongToDoubleFunction table(List<Double> factors) {
        return Factors.table(factors.stream().mapToDouble(Double::doubleValue).toArray());
    }

    private static CyclicLR.Options cyclic(JsonKeys keys) {
        if (keys.hasValue("scale_fn")) {
            throw keys.refusalOf("scale_fn", "expected null: JSON has no functions");
        }
        keys.has("scale_mode"); // of that function only
        double up = keys.number("step_size_up", 2000);
        double down = keys.hasValue("step_size_down") ? keys.number("step_size_down") : up;
        return CyclicLR.Options.of(0, 0).withLrs(keys.oneOrMoreNumbers("base_lr"), keys.oneOrMoreNumbers("max_lr"))
                .withStepSizes(up, down).withMode(keys.choice("mode", CyclicLR.Mode.TRIANGULAR))
                .withGamma(keys.number("gamma", 1)).withCycleMomentum(keys.flag("cycle_momentum", true))
                .withMomentums(keys.oneOrMoreNumbers("base_momentum", 0.8), keys.oneOrMoreNumbers("max_momentum", 0.9));
    }

    private static OneCycleLR.Options oneCycle(JsonKeys keys) {
        boolean inEpochs = keys.hasValue("epochs") & keys.hasValue("steps_per_epoch");
        boolean inSteps = keys.hasValue("total_steps");
        if (!inSteps && !inEpochs) {
            throw keys.refusal("You must define either total_steps OR (epochs AND steps_per_epoch)");
        }
        long steps = inSteps ? keys.integer("total_steps")
                : OneCycleLR.Options.totalSteps(keys.integer("epochs"), keys.integer("steps_per_epoch"));
        return OneCycleLR.Options.of(1, steps).withMaxLrs(keys.oneOrMoreNumbers("max_lr"))
                .withPctStart(keys.number("pct_start", 0.3)).withAnnealStrategy(keys.choice("anneal_strategy", AnnealStrategy.COS))
                .withCycleMomentum(keys.flag("cycle_momentum", true))
                .withMomentums(keys.oneOrMoreNumbers("base_momentum", 0.85), keys.oneOrMoreNumbers("max_momentum", 0.95))
                .withDivFactors(keys.number("div_factor", 25), keys.number("final_div_factor", 1e4))
                .withThreePhase(keys.flag("three_phase", false));
    }

    private static ReduceLROnPlateau.Options plateau(JsonKeys keys) {
        ReduceLROnPlateau.Options torchs = ReduceLROnPlateau.Options.defaults();
        return new ReduceLROnPlateau.Options(keys.choice("mode", torchs.mode()), keys.number("factor", torchs.factor()),
                keys.integer("patience", torchs.patience()), keys.number("threshold", torchs.threshold()),
                keys.choice("threshold_mode", torchs.thresholdMode()), keys.integer("cooldown", torchs.cooldown()),
                keys.oneOrMoreNumbers("min_lr", 0), keys.number("eps", torchs.eps()));
    }

    private static GreedyLR.Options greedy(JsonKeys keys) {
        GreedyLR.Options theirs = GreedyLR.Options.defaults();
        return new GreedyLR.Options(keys.choice("mode", theirs.mode()), keys.number("factor", theirs.factor()),
                keys.integer("patience", theirs.patience()), keys.number("threshold", theirs.threshold()),
                keys.choice("threshold_mode", theirs.thresholdMode()), keys.integer("cooldown", theirs.cooldown()),
                keys.integer("warmup", theirs.warmup()), keys.oneOrMoreNumbers("min_lr", 1e-3), keys.oneOrMoreNumbers("max_lr", 1),
                keys.number("eps", theirs.eps()), keys.flag("smooth", theirs.smooth()),
                keys.smallInteger("window_size", theirs.windowSize()), keys.integer("reset_start", theirs.resetStart()));
    }

    private static long warmup(JsonKeys keys) {
        return keys.integer("num_warmup_steps");
    }

    private static long total(JsonKeys keys) {
        return keys.integer("num_training_steps");
    }

    /** Where transformers takes the optimizer's default: the learning rate that the first group starts with. */
    private static double lrInit(Schedulable scheduled, JsonKeys keys) {
        Hyperparameter rates = scheduled.scheduled();
        ParamGroup first = rates.groups().getFirst();
        return keys.number("lr_init", first.fields().get("initial_" + rates.name()) instanceof Number initial
                ? initial.doubleValue() : rates.get(first));
    }

    private static double minimum(Schedulable scheduled, JsonKeys keys) {
        if (keys.hasValue("min_lr") && keys.hasValue("min_lr_rate")) {
            throw keys.refusal("Only one of min_lr or min_lr_rate should be set");
        }
        if (!keys.hasValue("min_lr") && !keys.hasValue("min_lr_rate")) {
            throw keys.refusal("One of min_lr or min_lr_rate should be set");
        }
        return keys.hasValue("min_lr") ? keys.number("min_lr") / lrInit(scheduled, keys) : keys.number("min_lr_rate");
    }

    private static LongToDoubleFunction cosineWarmup(JsonKeys keys, double minimum) {
        double cycles = keys.number("num_cycles", 0.5);
        return keys.hasValue("warmup_lr_rate")
                ? Factors.cosineWarmupWithMin(warmup(keys), total(keys), cycles, minimum, keys.number("warmup_lr_rate"))
                : Factors.cosineWarmupWithMin(warmup(keys), total(keys), cycles, minimum);
    }

    private static LongToDoubleFunction warmupStableDecay(JsonKeys keys) {
        long warmup = warmup(keys);
        long decay = keys.integer("num_decay_steps");
        boolean inAll = keys.hasValue("num_training_steps");
        boolean ofStable = keys.hasValue("num_stable_steps");
        if (!inAll && !ofStable) {
            throw keys.refusal("Either num_training_steps or num_stable_steps must be specified.");
        }
        long stable = ofStable ? keys.integer("num_stable_steps")
                : keys.integer("num_training_steps") - warmup - decay;
        return Factors.warmupStableDecay(warmup, stable, decay,
                keys.choice("warmup_type", Ramp.LINEAR), keys.choice("decay_type", Ramp.COSINE), keys.number("min_lr_ratio", 0),
                keys.number("num_cycles", 0.5));
    }
}
