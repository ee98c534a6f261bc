package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Rule;

/** A rule's loop over the elements of a tensor: the only place outside {@code kernels/rule/} where a rule is written. */
interface UpdateLoop {
    void run(Arithmetic arithmetic, Scalars scalars, Elements elements);

    static UpdateLoop of(Rule rule) {
        return BuiltInLoops.ALL.get(rule.id());
    }
}
