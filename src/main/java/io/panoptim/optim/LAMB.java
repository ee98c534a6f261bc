package io.panoptim.optim;

import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.engine.LambRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Map;

/** LAMB. */
public final class LAMB extends FusedOptimizer<LAMB.Options> {
    public record Options(double lr, Betas betas, double eps, double weightDecay, boolean maximize) {
        public Options {
            Check.lr("LAMB", lr);
            Check.eps("LAMB", eps);
            Check.betas("LAMB", betas);
            Check.weightDecay("LAMB", weightDecay);
        }
        public static Options defaults() {
            return new Options(1e-3, new Betas(0.9, 0.999), 1e-6, 0.01, false);
        }
    }

    /** The options by torch's names. */
    public static final OptionSchema<Options> SCHEMA = OptionSchema.of("LAMB", Options.defaults());

    private static final int LR = SCHEMA.index("lr");
    private static final int BETAS = SCHEMA.index("betas");
    private static final int EPS = SCHEMA.index("eps");
    private static final int WEIGHT_DECAY = SCHEMA.index("weight_decay");
    private static final int MAXIMIZE = SCHEMA.index("maximize");
    private static final int STEP = 0;

    /** An optimizer of one group on the best engine for its device. */
    public LAMB(List<Parameter> parameters, Options options) {
        this(Engines.forDevice(deviceOf("LAMB", parameters)), parameters, options);
    }

    /** An optimizer of one group on a given engine. */
    public LAMB(Engine engine, List<Parameter> parameters, Options options) {
        super(engine, SCHEMA, Rule.LAMB, parameters, options);
    }

    @Override
    protected int slots(ParamGroup group) {
        return 2;
    }

    @Override
    protected void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double step = next(history[STEP]);
        next[STEP] = step;
        double beta1 = group.value(BETAS);
        double beta2 = group.value(BETAS + 1);
        rows.set(row, LambRow.WEIGHT_DECAY, group.value(WEIGHT_DECAY))
                .set(row, LambRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, LambRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, LambRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, LambRow.CORRECTION, 1 - CMath.pow(beta1, step))
                .set(row, LambRow.ROOT_CORRECTION, Math.sqrt(1 - CMath.pow(beta2, step)))
                .set(row, LambRow.EPS, group.value(EPS))
                .set(row, LambRow.LR, -group.value(LR))
                .flags(row, Rows.flag(LambRow.MAXIMIZE, group.value(MAXIMIZE) != 0));
    }

    @Override
    protected Map<String, Double> numbers(double[] history) {
        return Map.of("step", history[STEP]);
    }
}
