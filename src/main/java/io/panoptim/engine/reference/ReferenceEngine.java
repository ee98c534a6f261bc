package io.panoptim.engine.reference;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Extras;
import io.panoptim.engine.HostEngine;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import java.util.List;
import java.util.function.Consumer;

/** Every rule in plain Java, one element at a time, on native and heap memory: slow, and what the others must equal. */
public final class ReferenceEngine extends HostEngine {
    static final String NAME = "reference";

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public String description() {
        return "plain Java, one thread";
    }

    @Override
    public Table table(Rule rule, List<TensorEntry> entries) {
        return new ReferenceTable(this, rule, entries);
    }

    @Override
    protected void update(Table table, Rows rows, Extras extras) {
        run(table, reference -> new Step(reference, rows).run(extras));
    }

    @Override
    protected void updateRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows) {
        gradients.forEach(gradient -> gradient.checkIndices("Engine.stepRows", table));
        run(table, reference -> {
            new Step(reference, rows).run(Extras.NONE);
            gradients.forEach(gradient -> new RowLoop(table, rule, gradient, rows).run());
        });
    }

    private static void run(Table table, Consumer<ReferenceTable> update) {
        if (!(table instanceof ReferenceTable reference)) {
            throw PanoptimException.invalid("Engine.step", "the table was built by another engine");
        }
        reference.checkAccessible();
        try {
            update.accept(reference);
        } catch (IllegalStateException closed) {
            throw new PanoptimException(Code.FAULT, "Engine.step", "an arena was closed while a step was running", closed);
        }
    }
}
