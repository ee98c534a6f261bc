package io.panoptim.optim;

import io.panoptim.engine.Control;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** An engine in whose steps something happens. */
final class FailingEngine implements Engine {
    private final Engine engine;
    private final Runnable happening;

    private FailingEngine(Engine engine, Runnable happening) {
        this.engine = engine;
        this.happening = happening;
    }

    /** Throws after each step. */
    static FailingEngine after(Engine engine, RuntimeException thrown) {
        return new FailingEngine(engine, () -> {
            throw thrown;
        });
    }

    static FailingEngine during(Engine engine, Runnable happening) {
        return new FailingEngine(engine, happening);
    }

    @Override
    public String name() {
        return engine.name();
    }

    @Override
    public Device device() {
        return engine.device();
    }

    @Override
    public String description() {
        return engine.description();
    }

    @Override
    public Memory memory() {
        return engine.memory();
    }

    @Override
    public void copy(Tensor from, Tensor to, Stream stream) {
        engine.copy(from, to, stream);
    }

    @Override
    public void fill(Tensor tensor, double value, Stream stream) {
        engine.fill(tensor, value, stream);
    }

    @Override
    public Table table(Rule rule, List<TensorEntry> entries) {
        return engine.table(rule, entries);
    }

    @Override
    public void step(Table table, Rows rows, @Nullable Control control, Extras extras, Stream stream) {
        engine.step(table, rows, control, extras, stream);
        happening.run();
    }
}
