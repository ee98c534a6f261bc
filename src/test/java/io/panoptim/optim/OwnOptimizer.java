package io.panoptim.optim;

import io.panoptim.UserRules;
import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** An optimizer with a rule of its own, which is given as a lambda and as a library. */
final class OwnOptimizer extends FusedOptimizer<OwnOptimizer.Options> {
    record Options(double lr, double weightDecay, boolean amsgrad, boolean maximize, boolean signs) {}

    static final Path HEADER = Path.of("src/test/resources/io/panoptim/optim/own.h");

    static final Rule LAMBDA = Rule.define("own").states("exp_avg", "exp_avg_sq", "max_exp_avg_sq?")
            .scalars("decay", "exp_avg_weight", "exp_avg_sq_decay", "eps", "step_size").flags("maximize", "signs")
            .update((a, x) -> {
                double g = x.flag("maximize") ? -x.gradient() : x.gradient();
                double decay = x.scalar("exp_avg_sq_decay");
                x.state("exp_avg", a.lerp(x.state("exp_avg"), g, x.scalar("exp_avg_weight")));
                x.state("exp_avg_sq", a.average(x.state("exp_avg_sq"), decay, g, g, a.subtract(1, decay)));
                double secondMoment = x.state("exp_avg_sq");
                if (x.hasState("max_exp_avg_sq")) {
                    secondMoment = Arithmetic.maximum(x.state("max_exp_avg_sq"), secondMoment);
                    x.state("max_exp_avg_sq", secondMoment);
                }
                double average = x.state("exp_avg");
                double step = a.divide(average, a.add(a.sqrt(secondMoment), x.scalar("eps")));
                x.value(a.fma(x.scalar("step_size"), x.flag("signs") ? Arithmetic.sign(average) : step,
                        a.multiply(x.value(), x.scalar("decay"))));
            });

    private static final OptionSchema<Options> SCHEMA = OptionSchema.of("OwnOptimizer",
            new Options(1e-3, 0.01, false, false, false));
    private static @Nullable Rule both;

    OwnOptimizer(Engine engine, List<Parameter> parameters, Options options) {
        this(engine, both(), parameters, options);
    }

    OwnOptimizer(Engine engine, Rule rule, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, rule, parameters, options);
    }

    /** The rule in both forms; without a compiler the test is skipped. */
    static synchronized Rule both() {
        if (both == null) {
            try {
                both = LAMBDA.withLibrary(UserRules.compile(HEADER, Path.of("target/user-rules/libown.so")));
            } catch (IOException | InterruptedException failure) {
                throw new AssertionError(failure);
            }
        }
        return both;
    }

    @Override
    protected int slots(ParamGroup group) {
        return (boolean) group.get("amsgrad") ? 3 : 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        next[STEP] = next(history[STEP]);
        rows.set(row, LAMBDA.scalar("decay"), 1 - group.lr() * (double) group.get("weight_decay"))
                .set(row, LAMBDA.scalar("exp_avg_weight"), 0.1)
                .set(row, LAMBDA.scalar("exp_avg_sq_decay"), 0.99)
                .set(row, LAMBDA.scalar("eps"), 1e-8)
                .set(row, LAMBDA.scalar("step_size"), -group.lr())
                .flags(row, Rows.flag(LAMBDA.flag("maximize"), (boolean) group.get("maximize"))
                        | Rows.flag(LAMBDA.flag("signs"), (boolean) group.get("signs")));
    }
}
