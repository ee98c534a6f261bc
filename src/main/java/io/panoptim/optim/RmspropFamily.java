package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Rule;
import io.panoptim.tensor.Parameter;
import java.util.List;

/** What RMSprop and RMSpropTF share: which state there is. */
abstract class RmspropFamily<O extends Record> extends FusedOptimizer<O> {
    private final int momentum;
    private final int centered;

    RmspropFamily(Engine engine, OptionSchema<O> schema, Rule rule, List<Parameter> parameters, O options) {
        super(engine, schema, rule, parameters, options);
        momentum = schema.index("momentum");
        centered = schema.index("centered");
    }

    final boolean accelerated(ParamGroup group) {
        return group.value(momentum) > 0;
    }

    final boolean centered(ParamGroup group) {
        return group.value(centered) != 0;
    }

    /** Without momentum the average gradient has the buffer's slot, since an idle one would cost bandwidth. */
    @Override
    protected final String stateKey(ParamGroup group, int slot) {
        return super.stateKey(group, slot == 1 && !accelerated(group) ? 2 : slot);
    }

    @Override
    protected final int slots(ParamGroup group) {
        return 1 + (accelerated(group) ? 1 : 0) + (centered(group) ? 1 : 0);
    }
}
