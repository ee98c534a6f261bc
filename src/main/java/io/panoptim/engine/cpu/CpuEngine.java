package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Extras;
import io.panoptim.engine.HostEngine;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.ffi.panoptim_api;
import io.panoptim.ffi.panoptim_h;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.util.List;

/**
 * Native SIMD loops over chunks, shared among the threads of a pool: one downcall per step, whatever the number of
 * tensors. Works on native memory only.
 */
public final class CpuEngine extends HostEngine implements AutoCloseable {
    static final String NAME = "cpu";

    private final CpuLibrary library;
    private final CpuOptions options;
    private final MemorySegment pool;
    private final MemorySegment stepFunction;
    private boolean closed;

    private CpuEngine(CpuLibrary library, CpuOptions options) {
        this.library = library;
        this.options = options;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment created = arena.allocate(panoptim_h.C_POINTER);
            library.check("CPU engine", panoptim_api.pool_create.invoke(panoptim_api.pool_create(library.api()),
                    options.threads(), created));
            this.pool = created.get(panoptim_h.C_POINTER, 0);
        }
        this.stepFunction = panoptim_api.step(library.api());
    }

    /**
     * Loads the first of the tiers that this processor has and starts its threads.
     *
     * @throws PanoptimException listing every place tried, when none can be had
     */
    public static CpuEngine open(CpuOptions options) {
        return new CpuEngine(CpuLibrary.best(options.isas()), options);
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public String description() {
        return library.isa().id() + ", " + options.threads() + (options.threads() == 1 ? " thread, " : " threads, ")
                + library.compiler() + ", " + library.file();
    }

    public Isa isa() {
        return library.isa();
    }

    public int threads() {
        return options.threads();
    }

    @Override
    public Table table(Rule rule, List<TensorEntry> entries) {
        return new CpuTable(this, rule, entries, options.chunkElements());
    }

    @Override
    protected void update(Table table, Rows rows, Extras extras) {
        if (closed) {
            throw new PanoptimException(Code.CLOSED, "Engine.step", "the engine is closed");
        }
        if (!(table instanceof CpuTable cpuTable)) {
            throw PanoptimException.invalid("Engine.step", "the table was built by another engine");
        }
        MemorySegment step = cpuTable.step(rows, extras);
        List<CpuTable.Part> parts = cpuTable.parts();
        if (parts.size() == 1) {
            runWhole(parts.getFirst(), step, cpuTable);
        } else {
            runParts(parts, step, cpuTable);
        }
        Reference.reachabilityFence(rows);
    }

    /** The guards may name an arena that no tensor lies in any more and that was closed since. */
    private void runWhole(CpuTable.Part part, MemorySegment step, CpuTable table) {
        try {
            run(part, step);
        } catch (IllegalStateException closedArena) {
            table.checkAccessible();
            table.renewGuards();
            run(table.parts().getFirst(), step);
        }
    }

    /** With more arenas than one call can guard, what can be foreseen is refused before the first call. */
    private void runParts(List<CpuTable.Part> parts, MemorySegment step, CpuTable table) {
        table.checkAccessible();
        try {
            for (CpuTable.Part part : parts) {
                run(part, step);
            }
        } catch (IllegalStateException closedArena) {
            throw new PanoptimException(Code.FAULT, "Engine.step", "an arena was closed while a step was running", closedArena);
        }
    }

    private void run(CpuTable.Part part, MemorySegment step) {
        MemorySegment[] guards = part.guards();
        int result;
        try {
            result = panoptim_api.step.invoke(stepFunction, pool, part.table(), step, guards[0], guards[1], guards[2],
                    guards[3], guards[4], guards[5], guards[6], guards[7]);
        } catch (WrongThreadException confined) {
            throw new PanoptimException(Code.CONCURRENT, "Engine.step", "memory in use is confined to another thread: allocate it "
                    + "from a shared arena", confined);
        }
        library.check("Engine.step", result);
    }

    /** Ends the threads; idempotent. The engines that {@link io.panoptim.engine.Engines} shares are not the caller's to close. */
    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            library.check("Engine.close", panoptim_api.pool_destroy.invoke(panoptim_api.pool_destroy(library.api()), pool));
        }
    }
}
