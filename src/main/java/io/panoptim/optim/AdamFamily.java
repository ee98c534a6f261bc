package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.AdamRow;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;

/** What Adam and AdamW share: all but the way the weights decay. */
abstract class AdamFamily<O extends Record> extends FusedOptimizer<O> {

    private final int lr;
    private final int betas;
    private final int eps;
    private final int weightDecay;
    private final int amsgrad;
    private final int maximize;

    AdamFamily(Engine engine, OptionSchema<O> schema, List<Parameter> parameters, O options) {
        super(engine, schema, Rule.ADAM, parameters, options);
        lr = schema.index("lr");
        betas = schema.index("betas");
        eps = schema.index("eps");
        weightDecay = schema.index("weight_decay");
        amsgrad = schema.index("amsgrad");
        maximize = schema.index("maximize");
    }

    /** Whether a group's decay shrinks the parameter rather than adding to the gradient. */
    abstract boolean decoupled(ParamGroup group);

    /** Whether a group leaves out where its step goes against the gradient. */
    boolean cautious(ParamGroup group) {
        return false;
    }

    @Override
    protected final int slots(ParamGroup group) {
        return group.value(amsgrad) != 0 ? 3 : 2;
    }

    @Override
    protected final void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double step = next(history[STEP]);
        next[STEP] = step;
        double rate = group.value(lr);
        double beta1 = group.value(betas);
        double beta2 = group.value(betas + 1);
        double decay = group.value(weightDecay);
        boolean decoupled = decoupled(group);
        double correction1 = 1 - CMath.pow(beta1, step);
        double correction2 = 1 - CMath.pow(beta2, step);
        rows.set(row, AdamRow.DECAY, decoupled ? 1 - rate * decay : 1)
                .set(row, AdamRow.WEIGHT_DECAY, decay)
                .set(row, AdamRow.EXP_AVG_WEIGHT, 1 - beta1)
                .set(row, AdamRow.EXP_AVG_SQ_DECAY, beta2)
                .set(row, AdamRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                .set(row, AdamRow.ROOT_CORRECTION, CMath.pow(correction2, 0.5))
                .set(row, AdamRow.EPS, group.value(eps))
                .set(row, AdamRow.STEP_SIZE, -(rate / correction1))
                .flags(row, Rows.flag(AdamRow.MAXIMIZE, group.value(maximize) != 0)
                        | Rows.flag(AdamRow.L2, !decoupled && decay != 0)
                        | Rows.flag(AdamRow.CAUTIOUS, cautious(group)));
    }

    /** torch's AdamW is an Adam, and says so. */
    @Override
    protected final Sparse sparse(ParamGroup group, double[] history) {
        throw PanoptimException.unsupported(name(), "Adam does not support sparse gradients, please consider SparseAdam instead");
    }
}
