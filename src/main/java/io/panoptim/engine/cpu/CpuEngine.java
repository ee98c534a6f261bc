package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Decomposition;
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
import io.panoptim.ffi.panoptim_api;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.ffi.panoptim_reduce;
import io.panoptim.ffi.panoptim_row_step;
import io.panoptim.tensor.DType;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * Native SIMD loops over chunks, shared among the threads of a pool: one downcall per verb, whatever the number of
 * tensors. Works on native memory only.
 */
public final class CpuEngine extends HostEngine implements AutoCloseable {
    static final String NAME = "cpu";

    private static final System.Logger LOGGER = System.getLogger(CpuEngine.class.getName());
    private static final int NO_RULE = -1;

    /** For each thread some matrices, so that who is ahead can help, if their intermediate results take no more memory than this. */
    private static final long MATRICES = 4;
    private static final long MATRIX_BYTES = 4 << 20;

    /** A function of the library over the chunks of a part; the guards' arenas stay open meanwhile. */
    private interface Function {
        int call(MemorySegment table, MemorySegment argument, MemorySegment[] guards);
    }

    /**
     * One of the verbs over tables.
     *
     * @param call for messages
     * @param writes whether a failure between two parts leaves something half-written
     */
    private record Verb(String call, boolean writes, Function function) {
        CpuTable own(Table table) {
            if (table instanceof CpuTable own) {
                return own;
            }
            throw PanoptimException.invalid(call, "the table was built by another engine");
        }
    }

    private final CpuLibrary library;
    private final CpuOptions options;
    private final MemorySegment stepRowsFunction;
    private final Verb step;
    private final Verb map;
    private final Verb reduce;
    /** Over a product instead of a table. */
    private final Verb multiply;
    /** Likewise over decompositions. */
    private final Verb decompose;
    /** Of which the first argument is unused. */
    private final Verb stepFactored;
    /** Open as long as the pool is; a running step keeps it open. */
    private final Arena poolArena = Arena.ofShared();
    private final MemorySegment pool;
    /** That there is no LAPACK has been said. */
    private final AtomicBoolean warned = new AtomicBoolean();

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
        this.stepRowsFunction = panoptim_api.step_rows(library.api());
        MemorySegment stepFunction = panoptim_api.step(library.api());
        MemorySegment mapFunction = panoptim_api.map(library.api());
        MemorySegment reduceFunction = panoptim_api.reduce(library.api());
        this.step = new Verb("Engine.step", true, (table, argument, g) -> panoptim_api.step.invoke(stepFunction, pool, table,
                argument, g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]));
        this.map = new Verb("Engine.map", true, (table, argument, g) -> panoptim_api.map.invoke(mapFunction, pool, table,
                argument, g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]));
        this.reduce = new Verb("Engine.reduce", false, (table, argument, g) -> panoptim_api.reduce.invoke(reduceFunction, pool,
                table, argument, g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]));
        MemorySegment multiplyFunction = panoptim_api.multiply(library.api());
        this.multiply = new Verb("matmul", true, (blas, product, g) -> panoptim_api.multiply.invoke(multiplyFunction, pool, blas,
                product, g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]));
        MemorySegment decomposeFunction = panoptim_api.decompose(library.api());
        this.decompose = new Verb("Engine.decompose", true, (blas, plan, g) -> panoptim_api.decompose.invoke(decomposeFunction, pool, blas,
                plan, g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]));
        MemorySegment factoredFunction = panoptim_api.step_factored(library.api());
        this.stepFactored = new Verb("Engine.factoredStep", true, (unused, plan, g) -> panoptim_api.step_factored.invoke(
                factoredFunction, pool, plan, g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]));
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
    public void checkRule(Rule rule) {
        library.number(rule);
    }

    @Override
    public Table table(Rule rule, List<TensorEntry> entries) {
        return new CpuTable(this, rule, library.number(rule), entries, options.chunkElements());
    }

    @Override
    public Table table(List<TensorEntry> entries) {
        return new CpuTable(this, null, NO_RULE, entries, options.chunkElements());
    }

    /** By OpenBLAS, or oneDNN for bfloat16, whose files are looked for when the first product is planned; its parts and batches by this engine's threads. */
    @Override
    public MatrixProduct.Plan matrixProduct(MatrixProduct product) {
        findBlas(product);
        return new CpuProduct(this, product);
    }

    @Override
    public MatrixProduct.Sequence productSequence(List<MatrixProduct.Scaled> products) {
        products.forEach(each -> findBlas(each.product()));
        boolean guardable = products.stream().allMatch(each -> GuardedCall.guards(each.product().operands().stream()
                .flatMap(matrices -> matrices.tensors().stream())));
        return guardable ? new CpuSequence(this, products) : super.productSequence(products);
    }

    /** Or says why there is none. */
    private void findBlas(MatrixProduct product) {
        BlasLibrary blas = BlasLibrary.get(library);
        if (product.d().dtype() == DType.BFLOAT16) {
            blas.widensBfloat16(library); // looks for oneDNN
        }
    }

    @Override
    public Optional<String> widens(DType dtype) {
        return switch (dtype) {
            case BFLOAT16 -> BlasLibrary.get(library).widensBfloat16(library);
            case FLOAT16 -> Optional.of("the cpu engine knows no library that multiplies float16");
            default -> Optional.empty();
        };
    }

    @Override
    public long productBatch(long bytes) {
        return threads() * Math.clamp(MATRIX_BYTES / Math.max(1, bytes), 1, MATRICES);
    }

    /** The library by which matrices are multiplied, or why there is none. */
    public String blas() {
        return BlasLibrary.get(library).description();
    }

    @Override
    public FactoredStep factoredStep(List<Factored> tensors) {
        return new CpuFactored(this, tensors);
    }

    @Override
    protected boolean acceptsHeap() {
        return false;
    }

    /** By LAPACK, which OpenBLAS has; in plain Java if the BLAS library lacks it or there is none, of which a warning says why. */
    @Override
    protected void decompose(Decomposition decomposition) {
        BlasLibrary blas = lapack();
        if (blas == null) {
            super.decompose(decomposition);
            return;
        }
        try (CpuDecomposition call = new CpuDecomposition(decomposition)) {
            run(decompose, blas.functions(), call.parts(), () -> decomposition.tensors()
                    .forEach(tensor -> tensor.checkAccessible(decompose.call, "" + decomposition.matrices())));
            call.checkDone();
        }
    }

    private @Nullable BlasLibrary lapack() {
        try {
            BlasLibrary blas = BlasLibrary.get(library);
            return blas.hasLapack() ? blas : null;
        } catch (PanoptimException none) {
            if (none.code() != Code.UNAVAILABLE) {
                throw none;
            }
            if (warned.compareAndSet(false, true)) {
                LOGGER.log(Level.WARNING, "matrices are decomposed in plain Java, far slower than by LAPACK: {0}", none.getMessage());
            }
            return null;
        }
    }

    /** The library by which matrices of bfloat16 are multiplied, or why there is none. */
    public String bfloat16Products() {
        return BlasLibrary.get(library).bfloat16(library);
    }

    /**
     * Multiplies matrices.
     *
     * @param calls with {@code panoptim_product}s
     * @param check refuses inaccessible memory in words that name it
     */
    void multiply(List<GuardedCall> calls, Runnable check) {
        run(multiply, BlasLibrary.get(library).functions(), calls, check);
    }

    /** The guards may be out of date, as {@link #runWhole} says. */
    void run(CpuFactored step) {
        GuardedCalls parts = step.parts();
        if (parts.get().size() == 1) {
            try {
                run(stepFactored, MemorySegment.NULL, parts.get().getFirst());
                return;
            } catch (IllegalStateException | WrongThreadException refusedGuard) {
                parts.renew();
            }
        }
        run(stepFactored, MemorySegment.NULL, parts.get(), step::check);
    }

    /**
     * Runs a prepared call.
     *
     * @param check refuses inaccessible memory in words that name it
     */
    private void run(Verb verb, MemorySegment first, List<GuardedCall> parts, Runnable check) {
        checkOpen(verb);
        if (parts.size() > 1) {
            check.run();
        }
        for (int i = 0; i < parts.size(); i++) {
            try {
                run(verb, first, parts.get(i));
            } catch (IllegalStateException | WrongThreadException refusedGuard) {
                if (i == 0) {
                    check.run();
                }
                throw refusedGuard instanceof IllegalStateException closed
                        ? closedMeanwhile(verb, i == 0 ? Code.CLOSED : Code.FAULT, closed) : refusedGuard;
            }
        }
    }

    private void run(Verb verb, MemorySegment first, GuardedCall part) {
        library.check(verb.call, verb.function.call(first, part.subject(), part.guards()));
    }

    @Override
    protected void update(Table table, Rows rows, @Nullable HostControl control, Extras extras) {
        CpuTable own = step.own(table);
        run(step, own, own.stepParts(), own.fill(rows, control, extras));
        Reference.reachabilityFence(rows);
        Reference.reachabilityFence(control);
    }

    /** One call where there are no dense gradients; else all indices are checked before the dense gradients are used. */
    @Override
    protected void updateRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows) {
        CpuTable own = step.own(table);
        checkOpen(step);
        own.checkAccessible(own.stepParts(), step.call);
        List<GuardedCall> parts = own.rows(library.number(rule), gradients).parts();
        boolean dense = table.classCount() > 0;
        boolean written = false;
        int prepare = panoptim_h.PANOPTIM_PREPARE();
        int apply = panoptim_h.PANOPTIM_APPLY();
        try {
            if (!dense && parts.size() == 1) {
                run(own, parts.getFirst(), prepare | apply, gradients, rows);
            } else {
                for (GuardedCall part : parts) {
                    run(own, part, prepare, gradients, rows);
                }
                if (dense) {
                    update(table, rows, null, Extras.NONE);
                    written = true;
                }
                for (GuardedCall part : parts) {
                    run(own, part, apply, gradients, rows);
                    written = true;
                }
            }
        } catch (IllegalStateException closedMeanwhile) {
            throw closedMeanwhile(step, written ? Code.FAULT : Code.CLOSED, closedMeanwhile);
        }
        Reference.reachabilityFence(gradients);
        Reference.reachabilityFence(rows);
    }

    private void run(CpuTable table, GuardedCall part, int phases, List<RowGradient> gradients, Rows rows) {
        panoptim_row_step.phases(part.subject(), phases);
        MemorySegment[] guards = part.guards();
        int result = panoptim_api.step_rows.invoke(stepRowsFunction, pool, table.recordsOnly(), table.fill(rows, null, Extras.NONE),
                part.subject(), guards[0], guards[1], guards[2], guards[3], guards[4], guards[5], guards[6], guards[7]);
        if (result != panoptim_h.PANOPTIM_OK()) {
            gradients.forEach(gradient -> gradient.checkIndices("Engine.stepRows", table)); // in words that name the tensor
            library.check("Engine.stepRows", result);
        }
    }

    @Override
    protected void mapColumns(Table table, MapOperation operation) {
        CpuTable own = map.own(table);
        run(map, own, own.columnParts(operation.columns()), own.fill(operation));
    }

    @Override
    protected Total reduceColumns(Table table, Reduction reduction) {
        CpuTable own = reduce.own(table);
        MemorySegment argument = own.fill(reduction);
        run(reduce, own, own.columnParts(reduction.columns()), argument);
        return own.total.set(panoptim_reduce.result(argument), panoptim_reduce.nonfinite(argument) == 0);
    }

    private void run(Verb verb, CpuTable table, CpuParts parts, MemorySegment argument) {
        if (parts.get().size() == 1) {
            runWhole(verb, table, parts, argument);
        } else {
            runParts(verb, table, parts, argument);
        }
    }

    /** The guards may name an arena that no tensor lies in any more, and that was closed since or is another thread's. */
    private void runWhole(Verb verb, CpuTable table, CpuParts parts, MemorySegment argument) {
        try {
            run(verb, parts.get().getFirst(), argument);
        } catch (IllegalStateException | WrongThreadException refusedGuard) {
            checkOpen(verb);
            table.checkAccessible(parts, verb.call);
            parts.renew();
            try {
                run(verb, parts.get().getFirst(), argument);
            } catch (IllegalStateException closedMeanwhile) {
                throw closedMeanwhile(verb, Code.CLOSED, closedMeanwhile);
            }
        }
    }

    /** With more arenas than one call can guard, what can be foreseen is refused before the first call. */
    private void runParts(Verb verb, CpuTable table, CpuParts parts, MemorySegment argument) {
        checkOpen(verb);
        table.checkAccessible(parts, verb.call);
        List<GuardedCall> calls = parts.get();
        for (int i = 0; i < calls.size(); i++) {
            try {
                run(verb, calls.get(i), argument);
            } catch (IllegalStateException closedMeanwhile) {
                throw closedMeanwhile(verb, i == 0 || !verb.writes ? Code.CLOSED : Code.FAULT, closedMeanwhile);
            }
        }
    }

    private static PanoptimException closedMeanwhile(Verb verb, Code code, IllegalStateException cause) {
        return new PanoptimException(code, verb.call, "an arena was closed while it was running", cause);
    }

    private void run(Verb verb, GuardedCall part, MemorySegment argument) {
        library.check(verb.call, verb.function.call(part.subject(), argument, part.guards()));
    }

    private void checkOpen(Verb verb) {
        if (!poolArena.scope().isAlive()) {
            throw new PanoptimException(Code.CLOSED, verb.call, "the engine is closed");
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
