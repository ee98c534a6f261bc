package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What the engines that work on the CPU's memory have in common: each call returns when its work is done. */
public abstract class HostEngine extends TableEngine {
    private static final int ALL_EXTRAS = Extras.of(Extras.Part.values()).flags();

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
        checkCopy(from, to);
        to.segment().copyFrom(from.segment());
    }

    @Override
    protected void update(Table table, Rows rows, @Nullable Control control, Extras extras, Stream stream) {
        update(table, rows, control == null ? null : HostControl.of("Engine.step", control), extras);
    }

    /** Carries out a step whose arguments are valid and whose table no other thread uses. */
    protected abstract void update(Table table, Rows rows, @Nullable HostControl control, Extras extras);

    @Override
    protected final int extras() {
        return ALL_EXTRAS;
    }

    @Override
    public final void decompose(Decomposition decomposition, Stream stream) {
        checkStream("Engine.decompose", stream);
        decomposition.check(this, acceptsHeap());
        Matrices matrices = decomposition.matrices();
        for (long matrix = 0; matrix < matrices.batch(); matrix++) {
            if (!isFinite(matrices, matrix)) {
                throw Decomposition.notFinite(matrix);
            }
        }
        decompose(decomposition);
    }

    private static boolean isFinite(Matrices matrices, long matrix) {
        Tensor tensor = matrices.tensor(matrix);
        for (long i = 0; i < matrices.rows(); i++) {
            long first = matrices.start(matrix) + i * matrices.leading();
            for (long j = first; j < first + matrices.columns(); j++) {
                if (!Double.isFinite(tensor.get(j))) {
                    return false;
                }
            }
        }
        return true;
    }

    /** Whether it works on tensors on the Java heap, too. */
    protected abstract boolean acceptsHeap();

    /** Decomposes matrices that are finite. */
    protected void decompose(Decomposition decomposition) {
        new HostDecomposition(decomposition).run();
    }

    @Override
    public Control control() {
        return new HostControl(this);
    }

    @Override
    protected void checkControl(String call, Control control) {
        HostControl.of(call, control);
    }

    @Override
    protected void measureGradients(List<Table> tables, Measurement measurement, Control control, Stream stream) {
        HostControl block = HostControl.of("Engine.measure", control);
        Reduction norm = block.norm(measurement);
        Reduction parts = block.parts();
        double total = 0;
        boolean finite = true;
        for (int i = 0; i < tables.size(); i++) {
            Table table = tables.get(i);
            table.enter("Engine.measure");
            try {
                Total part = reduceColumns(table, parts);
                total = norm.join(total, part.value);
                finite &= part.finite;
            } finally {
                table.exit();
            }
        }
        block.measured(measurement, norm.finish(total), finite);
    }

    /** What all elements were reduced to, and whether all of the left column were finite; an engine may use one of these again. */
    public static final class Total {
        private double value;
        private boolean finite;

        public Total(double value, boolean finite) {
            this.value = value;
            this.finite = finite;
        }

        /** Takes the place of another one. */
        public Total set(double newValue, boolean isFinite) {
            value = newValue;
            finite = isFinite;
            return this;
        }
    }

    @Override
    protected final void updateRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows, Stream stream) {
        updateRows(table, rule, gradients, rows);
    }

    /** Carries out a step some of whose gradients are sparse, and valid but for their indices. */
    protected abstract void updateRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows);

    @Override
    protected final void mapColumns(Table table, MapOperation operation, Stream stream) {
        mapColumns(table, operation);
    }

    /** Carries out an operation whose columns exist, on a table that no other thread uses. */
    protected abstract void mapColumns(Table table, MapOperation operation);

    @Override
    protected final Reduction.Result reduceColumns(Table table, Reduction reduction, Stream stream) {
        double result = reduceColumns(table, reduction).value;
        return () -> result;
    }

    /**
     * Carries out a reduction whose columns exist, on a table that no other thread uses.
     *
     * @param reduction a dot product, an absolute maximum, or a norm of whose powers the sum is wanted
     */
    protected abstract Total reduceColumns(Table table, Reduction reduction);

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

    /** The CPU's engines do everything at once: they have no streams. */
    @Override
    protected final void checkStream(String call, Stream stream) {
        if (!stream.equals(Stream.DEFAULT)) {
            throw PanoptimException.invalid(call, "the CPU has no streams: pass Stream.DEFAULT");
        }
    }
}
