package io.panoptim.optim.norm;

import io.panoptim.engine.Engine;
import io.panoptim.engine.LarsRow;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.optim.FusedOptimizer;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Map;

/** What LARS and LARC share: all but whether ratios are clipped. */
abstract class LarsFamily<O extends Record> extends FusedOptimizer<O> {
    /** History: whether the momentum buffer has been filled. */
    private static final int FILLED = 0;

    private final int lr;
    private final int momentum;
    private final int dampening;
    private final int weightDecay;
    private final int nesterov;
    private final int trustCoeff;
    private final int eps;
    private final int alwaysAdapt;
    private final int maximize;

    LarsFamily(Engine engine, OptionSchema<O> schema, List<Parameter> parameters, O options) {
        super(engine, schema, Rule.LARS, parameters, options);
        lr = schema.index("lr");
        momentum = schema.index("momentum");
        dampening = schema.index("dampening");
        weightDecay = schema.index("weight_decay");
        nesterov = schema.index("nesterov");
        trustCoeff = schema.index("trust_coeff");
        eps = schema.index("eps");
        alwaysAdapt = schema.index("always_adapt");
        maximize = schema.index("maximize");
    }

    /** Whether a tensor's own learning rate is at most the group's. */
    abstract boolean trustClip(ParamGroup group);

    @Override
    protected final int slots(ParamGroup group) {
        return group.value(momentum) != 0 ? 1 : 0;
    }

    @Override
    protected final void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double decay = group.value(weightDecay);
        next[FILLED] = group.value(momentum) != 0 ? 1 : history[FILLED];
        rows.set(row, LarsRow.WEIGHT_DECAY, decay)
                .set(row, LarsRow.TRUST_COEFF, group.value(trustCoeff))
                .set(row, LarsRow.EPS, group.value(eps))
                .set(row, LarsRow.MOMENTUM, group.value(momentum))
                .set(row, LarsRow.UNDAMPENED, 1 - group.value(dampening))
                .set(row, LarsRow.LR, group.value(lr))
                .set(row, LarsRow.STEP_SIZE, -group.value(lr))
                .flags(row, Rows.flag(LarsRow.MAXIMIZE, group.value(maximize) != 0)
                        | Rows.flag(LarsRow.FIRST, history[FILLED] == 0)
                        | Rows.flag(LarsRow.NESTEROV, group.value(nesterov) != 0)
                        | Rows.flag(LarsRow.ADAPT, decay != 0 || group.value(alwaysAdapt) != 0)
                        | Rows.flag(LarsRow.TRUST_CLIP, trustClip(group)));
    }

    @Override
    protected final Map<String, Integer> filled() {
        return Map.of("momentum_buffer", FILLED);
    }

    @Override
    protected final Map<String, Integer> numbers() {
        return Map.of();
    }
}
