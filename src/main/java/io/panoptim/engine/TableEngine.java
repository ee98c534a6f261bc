package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What all engines refuse alike, before their own work begins: on one table, by one thread at a time. */
public abstract class TableEngine implements Engine {
    @Override
    public final void step(Table table, Rows rows, @Nullable Control control, Extras extras, Stream stream) {
        checkStream("Engine.step", stream);
        checkRule("Engine.step", table);
        checkExtras(control, extras);
        checkRows("Engine.step", table, rows);
        table.enter("Engine.step");
        try {
            table.checkSums("Engine.step", rows);
            if (extras.has(Extras.Part.STATISTICS)) {
                table.checkStatistics("Engine.step");
            }
            if (extras.has(Extras.Part.COPY) && extras.stochasticCopy()) {
                table.checkStochasticCopy("Engine.step");
            }
            update(table, rows, control, extras, stream);
        } finally {
            table.exit();
        }
    }

    @Override
    public MatrixProduct.Sequence productSequence(List<MatrixProduct.Scaled> products) {
        return new PlannedProducts(this, products);
    }

    /** Carries out a step whose arguments are valid and whose table no other thread uses. */
    protected abstract void update(Table table, Rows rows, @Nullable Control control, Extras extras, Stream stream);

    /** The parts that a step can do in the same pass, as bits. */
    protected abstract int extras();

    /** Refuses a control block that is closed or another device's. */
    protected abstract void checkControl(String call, Control control);

    private void checkExtras(@Nullable Control control, Extras extras) {
        int missing = extras.flags() & ~extras();
        if (missing != 0) {
            throw PanoptimException.unsupported("Engine.step", "the " + name() + " engine does not have "
                    + Arrays.stream(Extras.Part.values()).filter(part -> (missing & part.flag()) != 0).toList()
                    + " in the same pass yet");
        }
        if (control != null) {
            checkControl("Engine.step", control);
        } else if (extras.isControlled()) {
            throw PanoptimException.invalid("Engine.step", "unscaling, clipping and skipping need the control block that was measured "
                    + "into, and it is null");
        }
    }

    @Override
    public final void stepRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows, @Nullable Control control,
                               Extras extras, Stream stream) {
        checkStream("Engine.stepRows", stream);
        checkRule("Engine.stepRows", table);
        if (control != null || extras.flags() != 0) {
            throw PanoptimException.unsupported("Engine.stepRows", "the " + name() + " engine does not have "
                    + (control != null ? "loss scaling" : Arrays.stream(Extras.Part.values()).filter(extras::has).toList())
                    + " with sparse gradients yet");
        }
        checkRows("Engine.stepRows", table, rows);
        table.enter("Engine.stepRows");
        try {
            table.checkSparse("Engine.stepRows", rule, gradients, rows);
            table.checkSums("Engine.stepRows", rows);
            updateRows(table, rule, gradients, rows, stream);
        } finally {
            table.exit();
        }
    }

    /** Carries out a step some of whose gradients are sparse, and valid but for their indices. */
    protected abstract void updateRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows, Stream stream);

    @Override
    public final void map(Table table, MapOperation operation, Stream stream) {
        checkStream("Engine.map", stream);
        table.checkNumbers("Engine.map", operation.columns());
        table.enter("Engine.map");
        try {
            mapColumns(table, operation, stream);
        } finally {
            table.exit();
        }
    }

    /** Carries out an operation whose columns exist, on a table that no other thread uses. */
    protected abstract void mapColumns(Table table, MapOperation operation, Stream stream);

    @Override
    public final Reduction.Result reduce(Table table, Reduction reduction, Stream stream) {
        checkStream("Engine.reduce", stream);
        table.checkNumbers("Engine.reduce", reduction.columns());
        table.checkWholeLeaves("Engine.reduce");
        table.enter("Engine.reduce");
        try {
            Reduction.Result total = reduceColumns(table, reduction.parts(), stream);
            return () -> reduction.finish(total.get());
        } finally {
            table.exit();
        }
    }

    /**
     * Carries out a reduction whose columns exist, on a table that no other thread uses.
     *
     * @param reduction a dot product, an absolute maximum, or a norm of whose powers the sum is wanted
     */
    protected abstract Reduction.Result reduceColumns(Table table, Reduction reduction, Stream stream);

    @Override
    public final void measure(List<Table> tables, Measurement measurement, Control control, Stream stream) {
        checkStream("Engine.measure", stream);
        checkControl("Engine.measure", control);
        for (int i = 0; i < tables.size(); i++) {
            tables.get(i).checkWholeLeaves("Engine.measure");
        }
        measureGradients(tables, measurement, control, stream);
    }

    /** Measures tables whose leaves are whole, into a block that is open. */
    protected abstract void measureGradients(List<Table> tables, Measurement measurement, Control control, Stream stream);

    /** Refuses a stream that is not of this engine's device. */
    protected abstract void checkStream(String call, Stream stream);

    /** Refuses to copy between tensors of different types, shapes or layouts, or from or to closed memory. */
    protected static void checkCopy(Tensor from, Tensor to) {
        if (from.dtype() != to.dtype() || !from.sameLayout(to)) {
            throw PanoptimException.invalid("Engine.copy", "cannot copy " + from + " to " + to
                    + ": type, shape and layout must be equal");
        }
        from.checkAccessible("Engine.copy", "the source");
        to.checkAccessible("Engine.copy", "the target");
    }

    private static void checkRule(String call, Table table) {
        if (table.rule() == null) {
            throw PanoptimException.invalid(call, "the table has no rule to step by");
        }
    }

    private static void checkRows(String call, Table table, Rows rows) {
        if (rows.count() < table.classCount()) {
            throw PanoptimException.invalid(call, rows.count() + " rows for " + table.classCount() + " classes");
        }
    }
}
