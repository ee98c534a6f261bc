package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.SignumRow;
import io.panoptim.tensor.Parameter;
import java.util.List;
import java.util.Map;

/** What SignSGD and Signum share: all but the momentum. */
abstract class SignFamily<O extends Record> extends FusedOptimizer<O> {
    private final int lr;
    private final int weightDecay;
    private final int weightDecouple;
    private final int maximize;

    SignFamily(Engine engine, OptionSchema<O> schema, List<Parameter> parameters, O options) {
        super(engine, schema, Rule.SIGNUM, parameters, options);
        lr = schema.index("lr");
        weightDecay = schema.index("weight_decay");
        weightDecouple = schema.index("weight_decouple");
        maximize = schema.index("maximize");
    }

    /** The decay rate of the average, or 0 for none. */
    abstract double momentum(ParamGroup group);

    @Override
    protected final int slots(ParamGroup group) {
        return momentum(group) != 0 ? 1 : 0;
    }

    @Override
    protected final void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        double momentum = momentum(group);
        double decay = group.value(weightDecay);
        boolean decoupled = group.value(weightDecouple) != 0;
        rows.set(row, SignumRow.DECAY, decoupled ? 1 - decay * group.value(lr) : 1)
                .set(row, SignumRow.WEIGHT_DECAY, decay)
                .set(row, SignumRow.MOMENTUM, momentum)
                .set(row, SignumRow.MOMENTUM_WEIGHT, 1 - momentum)
                .set(row, SignumRow.STEP_SIZE, -group.value(lr))
                .flags(row, Rows.flag(SignumRow.MAXIMIZE, group.value(maximize) != 0)
                        | Rows.flag(SignumRow.L2, !decoupled && decay != 0));
    }

    @Override
    protected final Map<String, Integer> numbers() {
        return Map.of();
    }
}
