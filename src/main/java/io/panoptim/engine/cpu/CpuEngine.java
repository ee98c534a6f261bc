package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Extras;
import io.panoptim.engine.HostEngine;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.ffi.panoptim_api;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.ffi.panoptim_row_step;
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
    private final MemorySegment stepFunction;
    private final MemorySegment stepRowsFunction;
    /** Open as long as the pool is; a running step keeps it open. */
    private final Arena poolArena = Arena.ofShared();
    private final MemorySegment pool;

    private CpuEngine(CpuLibrary library, CpuOptions options) {
        this.library = library;
        this.options = options;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment created = arena.allocate(panoptim_h.C_POINTER);
            library.check("CPU engine", panoptim_api.pool_create.invoke(panoptim_api.pool_create(library.api()),
                    options.threads(), created));
            this.pool = created.get(panoptim_h.C_POINTER, 0).reinterpret(poolArena,
                    opened -> panoptim_api.pool_destroy.invoke(panoptim_api.pool_destroy(library.api()), opened));
        }
        this.stepFunction = panoptim_api.step(library.api());
        this.stepRowsFunction = panoptim_api.step_rows(library.api());
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
        return new CpuTable(this, rule, library.number(rule), entries, options.chunkElements());
    }

    @Override
    protected void update(Table table, Rows rows, Extras extras) {
        CpuTable cpuTable = own(table);
        MemorySegment step = cpuTable.fill(rows, extras);
        if (cpuTable.parts().size() == 1) {
            runWhole(cpuTable, step);
        } else {
            runParts(cpuTable, step);
        }
        Reference.reachabilityFence(rows);
    }

    private static CpuTable own(Table table) {
        if (table instanceof CpuTable cpuTable) {
            return cpuTable;
        }
        throw PanoptimException.invalid("Engine.step", "the table was built by another engine");
    }

    /** One call where there are no dense gradients; else all indices are checked before the dense gradients are used. */
    @Override
    protected void updateRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows) {
        CpuTable cpuTable = own(table);
        checkOpen();
        cpuTable.checkAccessible();
        List<CpuRows.Part> parts = cpuTable.rows(rule, gradients).parts();
        boolean dense = table.classCount() > 0;
        boolean written = false;
        int prepare = panoptim_h.PANOPTIM_PREPARE();
        int apply = panoptim_h.PANOPTIM_APPLY();
        try {
            if (!dense && parts.size() == 1) {
                run(cpuTable, parts.getFirst(), prepare | apply, gradients, rows);
            } else {
                for (CpuRows.Part part : parts) {
                    run(cpuTable, part, prepare, gradients, rows);
                }
                if (dense) {
                    update(table, rows, Extras.NONE);
                    written = true;
                }
                for (CpuRows.Part part : parts) {
                    run(cpuTable, part, apply, gradients, rows);
                    written = true;
                }
            }
        } catch (IllegalStateException closedMeanwhile) {
            throw closedMeanwhile(written ? Code.FAULT : Code.CLOSED, closedMeanwhile);
        }
        Reference.reachabilityFence(gradients);
        Reference.reachabilityFence(rows);
    }

    private void run(CpuTable table, CpuRows.Part part, int phases, List<RowGradient> gradients, Rows rows) {
        panoptim_row_step.phases(part.step(), phases);
        MemorySegment[] guards = part.guards();
        int result = panoptim_api.step_rows.invoke(stepRowsFunction, pool, table.recordsOnly(), table.fill(rows, Extras.NONE),
                part.step(), guards[0], guards[1], guards[2], guards[3], guards[4], guards[5], guards[6], guards[7]);
        if (result != panoptim_h.PANOPTIM_OK()) {
            gradients.forEach(gradient -> gradient.checkIndices("Engine.stepRows", table)); // in words that name the tensor
            library.check("Engine.stepRows", result);
        }
    }

    /** The guards may name an arena that no tensor lies in any more, and that was closed since or is another thread's. */
    private void runWhole(CpuTable table, MemorySegment step) {
        try {
            run(table.parts().getFirst(), step);
        } catch (IllegalStateException | WrongThreadException refusedGuard) {
            checkOpen();
            table.checkAccessible();
            table.renewGuards();
            try {
                run(table.parts().getFirst(), step);
            } catch (IllegalStateException closedMeanwhile) {
                throw closedMeanwhile(Code.CLOSED, closedMeanwhile);
            }
        }
    }

    /** With more arenas than one call can guard, what can be foreseen is refused before the first call. */
    private void runParts(CpuTable table, MemorySegment step) {
        checkOpen();
        table.checkAccessible();
        List<CpuTable.Part> parts = table.parts();
        for (int i = 0; i < parts.size(); i++) {
            try {
                run(parts.get(i), step);
            } catch (IllegalStateException closedMeanwhile) {
                throw closedMeanwhile(i == 0 ? Code.CLOSED : Code.FAULT, closedMeanwhile);
            }
        }
    }

    private static PanoptimException closedMeanwhile(Code code, IllegalStateException cause) {
        return new PanoptimException(code, "Engine.step", "an arena was closed while a step was running", cause);
    }

    private void run(CpuTable.Part part, MemorySegment step) {
        MemorySegment[] guards = part.guards();
        library.check("Engine.step", panoptim_api.step.invoke(stepFunction, pool, part.table(), step, guards[0], guards[1],
                guards[2], guards[3], guards[4], guards[5], guards[6], guards[7]));
    }

    private void checkOpen() {
        if (!poolArena.scope().isAlive()) {
            throw new PanoptimException(Code.CLOSED, "Engine.step", "the engine is closed");
        }
    }

    /**
     * Ends the threads; idempotent, and refused while a step is running. The engines that
     * {@link io.panoptim.engine.Engines} shares are not the caller's to close.
     */
    @Override
    public synchronized void close() {
        try {
            if (poolArena.scope().isAlive()) {
                poolArena.close();
            }
        } catch (IllegalStateException running) {
            throw new PanoptimException(Code.CONCURRENT, "Engine.close", "a step is running", running);
        }
    }
}
