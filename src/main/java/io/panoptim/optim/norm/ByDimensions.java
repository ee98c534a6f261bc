package io.panoptim.optim.norm;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.optim.FusedOptimizer;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.List;

/** What optimizers share that treat a parameter by the number of its dimensions. */
abstract class ByDimensions<O extends Record> extends FusedOptimizer<O> {
    /** History, after the number of steps taken, if they are counted: the number of the parameter's dimensions. */
    private static final int DIMENSIONS = 1;

    ByDimensions(Engine engine, OptionSchema<O> schema, Rule rule, List<Parameter> parameters, O options) {
        super(engine, schema, rule, parameters, options);
    }

    @Override
    protected final double[] initialHistory(ParamGroup group, Parameter parameter) {
        return new double[] {0, parameter.value().shape().length};
    }

    @Override
    protected final void row(ParamGroup group, double[] history, double[] next, Rows rows, int row) {
        next[DIMENSIONS] = history[DIMENSIONS];
        row(group, history, next, (int) history[DIMENSIONS], rows, row);
    }

    /** {@link #row} for a parameter of so many dimensions. */
    abstract void row(ParamGroup group, double[] history, double[] next, int dimensions, Rows rows, int row);
}
