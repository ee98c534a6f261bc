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
            updateRows(table, rule, gradients, rows);
        } finally {
            table.exit();
        }
    }

    /** Carries out a step some of whose gradients are sparse, and valid but for their indices. */
    protected abstract void updateRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows);

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
    private static void checkStream(String call, Stream stream) {
        if (!stream.equals(Stream.DEFAULT)) {
            throw PanoptimException.invalid(call, "the CPU has no streams: pass Stream.DEFAULT");
        }
    }
}
