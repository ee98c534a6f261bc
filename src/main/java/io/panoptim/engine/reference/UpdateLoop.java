package io.panoptim.engine.reference;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.ElementUpdate;
import io.panoptim.engine.Rule;

/** A rule's loop over the elements of a tensor: the only place outside {@code kernels/rule/} where a rule is written. */
interface UpdateLoop {
    void run(Arithmetic arithmetic, Scalars scalars, Elements elements);

    /** The loop of a rule, or a refusal of one that has no Java form. */
    static UpdateLoop of(Rule rule) {
        if (rule.id() >= 0) {
            return BuiltInLoops.ALL.get(rule.id());
        }
        ElementUpdate update = rule.update();
        if (update == null) {
            throw PanoptimException.unsupported("Table", "the reference engine cannot run the rule " + rule + ", which was loaded "
                    + "compiled: use the CPU engine, or define it in Java too (Rule.define, then withLibrary)");
        }
        return new ElementLoop(rule, update);
    }
}
