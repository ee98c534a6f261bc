package io.panoptim.optim.norm;

import io.panoptim.PanoptimException;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Rule;
import io.panoptim.optim.FusedOptimizer;
import io.panoptim.optim.OptionSchema;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Parameter;
import java.util.Arrays;
import java.util.List;

/** What optimizers share that estimate one step size for all their groups. */
abstract class LearningRateFree<O extends Record> extends FusedOptimizer<O> {
    /** An option, and where its numbers lie in a group. */
    private record Option(String name, int index, int size) {}

    private final List<Option> common;
    private double lr;

    /**
     * An optimizer of one group.
     *
     * @param common the options that all groups must agree on
     */
    LearningRateFree(Engine engine, OptionSchema<O> schema, Rule rule, List<Parameter> parameters, O options, String... common) {
        super(engine, schema, rule, parameters, options);
        this.common = Arrays.stream(common).map(option -> new Option(option, schema.index(option), schema.size(option))).toList();
    }

    /** The learning rate of all groups but those that have 0. */
    final double lr() {
        return lr;
    }

    /** Adam's corrections for bias in the coming step, as one factor of the step size; steps are counted for all parameters. */
    final double correction(double beta1, double beta2) {
        double step = updates() + 1.0;
        return CMath.pow(1 - CMath.pow(beta2, step), 0.5) / (1 - CMath.pow(beta1, step));
    }

    @Override
    protected final void beforeStep() {
        List<ParamGroup> groups = paramGroups();
        lr = groups.getFirst().lr();
        for (int i = 1; i < groups.size(); i++) {
            lr = Math.max(lr, groups.get(i).lr());
        }
        for (ParamGroup group : groups) {
            if (group.lr() != lr && group.lr() != 0) {
                throw PanoptimException.invalid(name() + ".step", "Setting different lr values in different parameter groups is only "
                        + "supported for values of 0: found " + group.lr() + " and " + lr);
            }
            for (Option option : common) {
                if (!agree(groups.getFirst(), group, option)) {
                    throw PanoptimException.invalid(name() + ".step", "one step size is estimated for all groups, but '"
                            + option.name + "' is " + groups.getFirst().text(option.name) + " in the first and "
                            + group.text(option.name) + " in another");
                }
            }
        }
    }

    private static boolean agree(ParamGroup first, ParamGroup other, Option option) {
        for (int i = option.index; i < option.index + option.size; i++) {
            if (Double.compare(first.value(i), other.value(i)) != 0) {
                return false;
            }
        }
        return true;
    }
}
