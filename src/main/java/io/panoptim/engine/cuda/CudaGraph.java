package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Graph;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Stream;
import io.panoptim.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Captured work. The rows of its steps lie in device memory, to which each replay copies what the same {@link Rows} have then; tables
 * must be as they were. Matrix products are repeated with the factors that they had, and their plans must still be open.
 */
final class CudaGraph implements Graph {
    /**
     * A step in the graph.
     *
     * @param version of the table, by which a change of its presence or addresses shows
     * @param rows those that the caller fills
     * @param count how many of them
     * @param address where they lie on the device: rounded to float32, then as they are
     */
    private record Step(CudaTable table, long version, Rows rows, int count, long address) {}

    private final CudaEngine engine;
    private final Stream captured;
    private final CudaMemory memory;
    private final UploadRing uploads;
    /** A table of whose gradients something is measured. */
    private record Measured(CudaTable table, long version) {}

    private final List<Step> steps = new ArrayList<>();
    private final List<Measured> measured = new ArrayList<>();
    private final Set<CudaControl> controls = new LinkedHashSet<>();
    /** What a replay changes on the device, and is to be known on the CPU. */
    private final Set<Arrivals> arrivals = new LinkedHashSet<>();
    private final List<CudaProduct> products = new ArrayList<>();
    private long workspace;
    private @Nullable MemorySegment executable;
    private boolean closed;

    CudaGraph(CudaEngine engine, Stream captured) {
        this.engine = engine;
        this.captured = captured;
        this.memory = engine.memory("graphs");
        this.uploads = new UploadRing(engine);
    }

    /** Captures what is done to the stream. */
    void capture(Runnable work) {
        engine.calls().beginCapture(captured.handle());
        try {
            work.run();
        } catch (RuntimeException | Error failed) {
            engine.calls().abandonCapture(captured.handle());
            throw failed;
        }
        executable = engine.calls().endCapture(captured.handle());
    }

    boolean captures(long stream) {
        return executable == null && captured.handle() == stream;
    }

    /** A place for the rows of a step that is being captured. */
    long add(CudaTable table, Rows rows, int count) {
        long address = memory.zeros(DType.UINT8, count * KernelRows.BOTH).address();
        steps.add(new Step(table, table.version(), rows, count, address));
        return address;
    }

    void add(CudaTable table) {
        measured.add(new Measured(table, table.version()));
    }

    void add(CudaControl control) {
        controls.add(control);
        add(control.arrivals());
    }

    void add(Arrivals arrival) {
        arrivals.add(arrival);
    }

    /** Matrix products that are being captured. */
    void add(CudaProduct product) {
        if (!products.contains(product)) {
            products.add(product);
        }
    }

    /** What cuBLAS may use in this graph. */
    long workspace() {
        if (workspace == 0) {
            workspace = memory.zeros(DType.UINT8, engine.workspaceBytes()).address();
        }
        return workspace;
    }

    @Override
    public void replay(Stream stream) {
        if (closed || executable == null) {
            throw new PanoptimException(Code.CLOSED, "Graph.replay", "the graph is closed, or still being captured");
        }
        for (int i = 0; i < steps.size(); i++) {
            Step step = steps.get(i);
            step.table.checkUnchanged("Graph.replay", step.version);
            if (step.rows.count() < step.count) {
                throw PanoptimException.invalid("Graph.replay", step.rows.count() + " rows for " + step.count + " classes");
            }
        }
        measured.forEach(each -> each.table.checkUnchanged("Graph.replay", each.version));
        controls.forEach(control -> control.checkOpen("Graph.replay"));
        for (int i = 0; i < products.size(); i++) {
            products.get(i).checkUsable();
        }
        engine.replay(this, stream.handle());
    }

    /** Gives the rows, and then the graph, to a stream. */
    void launch(long stream) {
        for (int i = 0; i < steps.size(); i++) {
            Step step = steps.get(i);
            long bytes = step.count * KernelRows.BOTH;
            MemorySegment segment = uploads.take(bytes);
            KernelRows.write(step.rows, step.count, segment);
            engine.calls().copyToDevice(step.address, segment, bytes, stream);
            uploads.given(stream);
        }
        MemorySegment launched = executable;
        if (launched != null) {
            engine.calls().launchGraph(launched, stream);
            arrivals.forEach(arrival -> arrival.order(stream));
        }
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            engine.within(() -> {
                if (executable != null) {
                    engine.calls().freeGraph(executable);
                }
                memory.close(); // waits for a replay that is under way
                uploads.close();
            });
        }
    }
}
