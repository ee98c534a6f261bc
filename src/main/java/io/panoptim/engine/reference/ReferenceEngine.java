package io.panoptim.engine.reference;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Factored;
import io.panoptim.engine.FactoredStep;
import io.panoptim.engine.HostControl;
import io.panoptim.engine.HostEngine;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import java.util.List;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

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
    public void checkRule(Rule rule) {
        UpdateLoop.of(rule);
    }

    @Override
    public Table table(Rule rule, List<TensorEntry> entries) {
        return new ReferenceTable(this, rule, entries);
    }

    @Override
    public Table table(List<TensorEntry> entries) {
        return new ReferenceTable(this, null, entries);
    }

    @Override
    public MatrixProduct.Plan matrixProduct(MatrixProduct product) {
        return new ReferenceProduct(this, product);
    }

    @Override
    protected boolean acceptsHeap() {
        return true;
    }

    @Override
    public FactoredStep factoredStep(List<Factored> tensors) {
        return new FactoredLoop(this, tensors);
    }

    @Override
    protected void update(Table table, Rows rows, @Nullable HostControl control, Extras extras) {
        ReferenceTable own = own("Engine.step", table);
        own.checkAccessible();
        run("Engine.step", Code.FAULT, () -> {
            new Step(own, rows, new Riding(extras, control)).run();
            return null;
        });
    }

    @Override
    protected void updateRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows) {
        gradients.forEach(gradient -> gradient.checkIndices("Engine.stepRows", table));
        ReferenceTable own = own("Engine.stepRows", table);
        own.checkAccessible();
        run("Engine.stepRows", Code.FAULT, () -> {
            new Step(own, rows, Riding.NOTHING).run();
            gradients.forEach(gradient -> new RowLoop(own, rule, gradient, rows).run());
            return null;
        });
    }

    @Override
    protected void mapColumns(Table table, MapOperation operation) {
        own("Engine.map", table).checkColumns("Engine.map", operation.columns());
        run("Engine.map", Code.FAULT, () -> {
            Columns.map(table, operation);
            return null;
        });
    }

    @Override
    protected Total reduceColumns(Table table, Reduction reduction) {
        own("Engine.reduce", table).checkColumns("Engine.reduce", reduction.columns());
        return run("Engine.reduce", Code.CLOSED, () -> Columns.reduce(table, reduction));
    }

    private static ReferenceTable own(String call, Table table) {
        if (table instanceof ReferenceTable own) {
            return own;
        }
        throw PanoptimException.invalid(call, "the table was built by another engine");
    }

    private static <T> T run(String call, Code ifClosed, Supplier<T> work) {
        try {
            return work.get();
        } catch (IllegalStateException closed) {
            throw new PanoptimException(ifClosed, call, "an arena was closed meanwhile", closed);
        }
    }
}
