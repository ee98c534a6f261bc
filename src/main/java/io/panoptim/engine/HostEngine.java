package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What the engines that work on the CPU's memory have in common. */
public abstract class HostEngine implements Engine {
    @Override
    public final Device device() {
        return Device.cpu();
    }

    @Override
    public final Memory memory() {
        return new HostMemory();
    }

    @Override
    public final void copy(Tensor from, Tensor to, Stream stream) {
        checkStream("Engine.copy", stream);
        if (from.dtype() != to.dtype() || !from.sameLayout(to)) {
            throw PanoptimException.invalid("Engine.copy", "cannot copy " + from + " to " + to
                    + ": type, shape and layout must be equal");
        }
        from.checkAccessible("Engine.copy", "the source");
        to.checkAccessible("Engine.copy", "the target");
        to.segment().copyFrom(from.segment());
    }

    @Override
    public final void step(Table table, Rows rows, @Nullable Control control, Extras extras, Stream stream) {
        checkStream("Engine.step", stream);
        checkRule("Engine.step", table);
        if (control != null) {
            throw PanoptimException.unsupported("Engine.step", "the " + name() + " engine does not have loss scaling yet");
        }
        if ((extras.flags() & ~Extras.Part.ZERO_GRADIENT.flag()) != 0) {
            throw PanoptimException.unsupported("Engine.step", "the " + name() + " engine does not have "
                    + Arrays.stream(Extras.Part.values()).filter(extras::has)
                    .filter(part -> part != Extras.Part.ZERO_GRADIENT).toList() + " in the same pass yet");
        }
        if (rows.count() < table.classCount()) {
            throw PanoptimException.invalid("Engine.step", rows.count() + " rows for " + table.classCount() + " classes");
        }
        table.enter("Engine.step");
        try {
            table.checkSums("Engine.step", rows);
            update(table, rows, extras);
        } finally {
            table.exit();
        }
    }

    /** Carries out a step whose arguments are valid and whose table no other thread uses. */
    protected abstract void update(Table table, Rows rows, Extras extras);

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
        if (rows.count() < table.classCount()) {
            throw PanoptimException.invalid("Engine.stepRows", rows.count() + " rows for " + table.classCount() + " classes");
        }
        table.enter("Engine.stepRows");
        try {
            table.checkSparse("Engine.stepRows", rule, gradients, rows);
            table.checkSums("Engine.stepRows", rows);
            updateRows(table, rule, gradients, rows);
        } finally {
            table.exit();
        }
    }

    /** Carries out a step some of whose gradients are sparse, and valid but for their indices. */
    protected abstract void updateRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows);

    @Override
    public final void map(Table table, MapOperation operation, Stream stream) {
        checkStream("Engine.map", stream);
        table.checkUnshared("Engine.map", operation.columns());
        table.enter("Engine.map");
        try {
            mapColumns(table, operation);
        } finally {
            table.exit();
        }
    }

    /** Carries out an operation whose columns exist, on a table that no other thread uses. */
    protected abstract void mapColumns(Table table, MapOperation operation);

    @Override
    public final Reduction.Result reduce(Table table, Reduction reduction, Stream stream) {
        checkStream("Engine.reduce", stream);
        table.checkUnshared("Engine.reduce", reduction.columns());
        table.checkWholeLeaves("Engine.reduce");
        table.enter("Engine.reduce");
        try {
            double result = value(table, reduction);
            return () -> result;
        } finally {
            table.exit();
        }
    }

    private double value(Table table, Reduction reduction) {
        int column = reduction.left();
        if (reduction.kind() == Reduction.Kind.NORM && reduction.p() == 2) {
            return Math.sqrt(reduceColumns(table, Reduction.dot(column, column)));
        }
        boolean largest = reduction.kind() == Reduction.Kind.NORM && reduction.p() == Double.POSITIVE_INFINITY;
        return reduceColumns(table, largest ? Reduction.absoluteMaximum(column) : reduction);
    }

    /**
     * Carries out a reduction whose columns exist, on a table that no other thread uses.
     *
     * @param reduction a dot product, a norm of order 1 or an absolute maximum
     */
    protected abstract double reduceColumns(Table table, Reduction reduction);

    @Override
    public final void fill(Tensor tensor, double value, Stream stream) {
        checkStream("Engine.fill", stream);
        tensor.checkAccessible("Engine.fill", "the tensor");
        if (Double.doubleToRawLongBits(value) == 0) {
            tensor.segment().fill((byte) 0);
        } else {
            for (long i = 0; i < tensor.elements(); i++) {
                tensor.set(i, value);
            }
        }
    }

    private static void checkRule(String call, Table table) {
        if (table.rule() == null) {
            throw PanoptimException.invalid(call, "the table has no rule to step by");
        }
    }

    /** The CPU's engines do everything at once: they have no streams. */
    static void checkStream(String call, Stream stream) {
        if (!stream.equals(Stream.DEFAULT)) {
            throw PanoptimException.invalid(call, "the CPU has no streams: pass Stream.DEFAULT");
        }
    }
}
