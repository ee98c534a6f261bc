package io.panoptim.engine.reference;

import io.panoptim.engine.Rule;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import java.util.List;

/** A table of which only what all engines share is needed. */
final class ReferenceTable extends Table {
    ReferenceTable(ReferenceEngine engine, Rule rule, List<TensorEntry> entries) {
        super(engine, true, rule, entries);
    }

    void checkAccessible() {
        checkAccessible("Engine.step");
    }

    @Override
    protected void pointed(int tensor, int column) {}

    @Override
    protected void classesChanged() {}

    @Override
    protected void free() {}
}
