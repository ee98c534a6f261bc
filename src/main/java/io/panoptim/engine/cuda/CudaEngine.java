package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Column;
import io.panoptim.engine.Control;
import io.panoptim.engine.Decomposition;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Factored;
import io.panoptim.engine.FactoredStep;
import io.panoptim.engine.Graph;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Measurement;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TableEngine;
import io.panoptim.engine.TensorEntry;
import io.panoptim.engine.cuda.CudaContext.Pinned;
import io.panoptim.engine.cuda.CudaException.Problem;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.ref.Reference;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;
import jcuda.driver.CUstream;
import org.jspecify.annotations.Nullable;

/**
 * An NVIDIA GPU. Every verb is ordered on the stream that it is given, a stream of CUDA's driver ({@code CUstream}), whoever made it;
 * {@link Stream#DEFAULT} is the legacy default stream, which other libraries use unless told otherwise. Verbs over tables do not wait
 * for the device.
 *
 * <p>The engine works in the device's primary context, which all libraries in the process share, and leaves the calling thread's
 * current context as it was.
 */
public final class CudaEngine extends TableEngine implements AutoCloseable {
    static final String NAME = "cuda";
    /** Of a block; kernels/step.h has the same. */
    private static final int THREADS = 256;
    private static final int ALL_EXTRAS = Extras.of(Extras.Part.values()).flags();

    private final Device device;
    private final CudaContext context;
    private final StreamCalls calls;
    private final CudaKernels kernels;
    private final Allocations allocations;
    private final Results results;
    private final AtomicLong closures = new AtomicLong();
    private final Map<Long, Long> workspaceOf = new HashMap<>();
    private @Nullable CudaStream side;
    private @Nullable Cublas cublas;
    private @Nullable CudaMemory workspaces;
    private volatile @Nullable CudaGraph capturing;
    private volatile boolean closed;

    private CudaEngine(Device device, CudaContext context) {
        this.device = device;
        this.context = context;
        this.calls = new StreamCalls(context);
        this.allocations = Allocations.ofProcess(device.toString());
        this.results = new Results(this);
        context.enter();
        try {
            this.kernels = new CudaKernels(context, calls);
        } finally {
            context.exit();
        }
    }

    /**
     * Opens an engine for a device, from 0 on.
     *
     * @throws PanoptimException with the reason when there is no such device, driver, or kernels for it
     */
    public static CudaEngine open(int index) {
        CudaContext context = new CudaContext(index);
        try {
            return new CudaEngine(Device.cuda(index), context);
        } catch (PanoptimException refused) {
            context.close();
            throw refused;
        }
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public Device device() {
        return device;
    }

    @Override
    public String description() {
        return "%s: %s, %s, %.1f GiB, driver for CUDA %s (%s), kernels from %s".formatted(device, context.gpu().name(),
                context.gpu().architecture(), context.gpu().memory() / 0x1p30, CudaDriver.version(), CudaDriver.file(), kernels.origin());
    }

    CudaContext context() {
        return context;
    }

    StreamCalls calls() {
        return calls;
    }

    Results results() {
        return results;
    }

    /** Changes when memory has been freed. */
    long closures() {
        return closures.get();
    }

    MemorySegment function(CudaKernels.Source source, @Nullable Rule rule, String name) {
        return kernels.function(source, rule, name);
    }

    /** Launches a kernel; the parameters point to its argument. */
    void launch(MemorySegment function, int blocks, MemorySegment parameters, long stream) {
        calls.launch(function, blocks, THREADS, parameters, stream);
    }

    void await(String call, CudaContext.Event event) {
        enter(call);
        try {
            calls.await(event);
        } finally {
            context.exit();
        }
    }

    private void enter(String call) {
        if (closed) {
            throw new PanoptimException(Code.CLOSED, call, "the engine is closed");
        }
        context.enter();
    }

    /** Does something in the context, also when the engine is closed. */
    void within(Runnable work) {
        context.enter();
        try {
            work.run();
        } finally {
            context.exit();
        }
    }

    <T> T within(String call, Supplier<T> work) {
        enter(call);
        try {
            return work.get();
        } finally {
            context.exit();
        }
    }

    @Override
    public Memory memory() {
        return memory("tensors");
    }

    CudaMemory memory(String purpose) {
        return new CudaMemory(this, purpose);
    }

    /** Page-locked memory of the CPU: copies between it and the device are ordered on their stream, and the CPU does not wait for them. */
    public Memory pinned() {
        return new PinnedMemory(this);
    }

    /** A new stream. */
    public CudaStream newStream() {
        return within("CudaEngine.newStream", () -> context.stream(this));
    }

    void destroy(CUstream stream) {
        within(() -> context.free(stream));
    }

    /** Waits until all that has been given to a stream is done; throws what went wrong in it. */
    public void synchronize(Stream stream) {
        enter("CudaEngine.synchronize");
        try {
            calls.synchronize(stream.handle());
        } finally {
            context.exit();
        }
    }

    /** The stream of what is done at once, in the current context: it waits for no other, and so disturbs no capture. */
    synchronized long sideStream() {
        if (side == null) {
            side = context.stream(this);
        }
        return side.stream().handle();
    }

    /** The graph that a stream is being captured in, or null. */
    @Nullable CudaGraph capturing(long stream) {
        CudaGraph graph = capturing;
        return graph != null && graph.captures(stream) ? graph : null;
    }

    /**
     * {@inheritDoc} Rows are read again in each replay, so that schedulers go on; that a tensor of the work moves, or gains or loses its
     * gradient, a replay refuses. Waits for the stream before it begins.
     *
     * @param stream one of {@link #newStream}, or another library's; not the default
     */
    @Override
    public Graph capture(Stream stream, Runnable work) {
        if (stream.handle() == 0) {
            throw PanoptimException.invalid("Engine.capture", "the default stream cannot be captured: take one of CudaEngine.newStream()");
        }
        enter("Engine.capture");
        try {
            if (capturing != null) {
                throw new PanoptimException(Code.CONCURRENT, "Engine.capture", "something is being captured already");
            }
            calls.synchronize(stream.handle());
            CudaGraph graph = new CudaGraph(this, stream);
            capturing = graph;
            try {
                graph.capture(work);
                return graph;
            } catch (RuntimeException | Error failed) {
                graph.close();
                throw failed;
            } finally {
                capturing = null;
            }
        } finally {
            context.exit();
        }
    }

    void replay(CudaGraph graph, long stream) {
        enter("Graph.replay");
        try {
            graph.launch(stream);
        } finally {
            context.exit();
        }
    }

    /** New device memory of zeros, of which this engine keeps account. */
    long allocateZeros(String purpose, long bytes) {
        return within("Memory", () -> {
            long address = context.allocate(bytes);
            allocations.add(purpose, address, bytes);
            calls.set(address, 0, 1, bytes, sideStream());
            calls.synchronize(sideStream()); // other streams do not wait for this one
            return address;
        });
    }

    /** Waits for what is being done with it. */
    void free(List<Long> addresses) {
        closures.incrementAndGet();
        within(() -> {
            if (!addresses.isEmpty()) {
                context.await();
            }
            addresses.forEach(address -> {
                context.free(address);
                allocations.remove(address);
            });
        });
    }

    Pinned allocatePinned(long bytes, String purpose) {
        return within("Memory", () -> {
            Pinned memory = context.allocatePinned(bytes);
            allocations.add("page-locked memory for " + purpose, memory.segment().address(), bytes);
            return memory;
        });
    }

    void free(Pinned memory) {
        within(() -> {
            context.free(memory);
            allocations.remove(memory.segment().address());
        });
    }

    /** Device and page-locked memory that this engine has allocated and not yet freed, in bytes. */
    public long allocatedBytes() {
        return allocations.bytes();
    }

    /** The most that there was of it. */
    public long peakBytes() {
        return allocations.peak();
    }

    /**
     * One paragraph for each piece of memory that was not freed yet; with {@code -Dpanoptim.memory.trace=true} it says where in the
     * program that was allocated, and is printed when the process ends. Empty if all were freed.
     */
    public String memoryReport() {
        return allocations.report();
    }

    @Override
    public void checkAddress(String call, Object label, Tensor tensor) {
        boolean own = tensor.owner() instanceof CudaMemory memory && memory.engine() == this;
        if (!own && tensor.bytes() > 0 && !within(call, () -> calls.isOnDevice(tensor.address()))) {
            throw CudaException.of(Problem.HOST_POINTER, call, label + " is said to be on " + device + ", but 0x"
                    + Long.toHexString(tensor.address()) + " is no address of its memory: pass one of this device's memory, or copy the "
                    + "tensor there");
        }
    }

    /** {@inheritDoc} Copies from and to the CPU wait for the device, unless that memory is page-locked. */
    @Override
    public void copy(Tensor from, Tensor to, Stream stream) {
        checkCopy(from, to);
        boolean fromDevice = from.device().equals(device);
        boolean toDevice = to.device().equals(device);
        if (!fromDevice && !toDevice || !fromDevice && from.device().kind() != Device.Kind.CPU
                || !toDevice && to.device().kind() != Device.Kind.CPU) {
            throw PanoptimException.invalid("Engine.copy", "from " + from.device() + " to " + to.device() + ": the engine of " + device
                    + " copies within it, and from and to the CPU");
        }
        if (fromDevice) {
            checkAddress("Engine.copy", "the source", from);
        }
        if (toDevice) {
            checkAddress("Engine.copy", "the target", to);
        } else if (to.segment().isReadOnly()) {
            throw PanoptimException.invalid("Engine.copy", "the target lies in a read-only segment");
        }
        if (from.bytes() == 0) {
            return;
        }
        enter("Engine.copy");
        try {
            if (fromDevice && toDevice) {
                calls.copyOnDevice(to.address(), from.address(), from.bytes(), stream.handle());
            } else if (toDevice) {
                copyToDevice(from.segment(), to, stream.handle());
            } else {
                copyToHost(from, to.segment(), stream.handle());
            }
        } finally {
            context.exit();
            Reference.reachabilityFence(from);
            Reference.reachabilityFence(to);
        }
    }

    private void copyToDevice(MemorySegment from, Tensor to, long stream) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment there = from.isNative() ? from : arena.allocate(from.byteSize(), 64).copyFrom(from);
            calls.copyToDevice(to.address(), there, from.byteSize(), stream);
            if (!from.isNative() || !calls.isPinned(from.address())) {
                calls.synchronize(stream);
            }
        }
    }

    private void copyToHost(Tensor from, MemorySegment to, long stream) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment there = to.isNative() ? to : arena.allocate(to.byteSize(), 64);
            calls.copyToHost(there, from.address(), to.byteSize(), stream);
            if (!to.isNative() || !calls.isPinned(to.address())) {
                calls.synchronize(stream);
            }
            if (!to.isNative()) {
                to.copyFrom(there);
            }
        }
    }

    @Override
    public void fill(Tensor tensor, double value, Stream stream) {
        tensor.checkAccessible("Engine.fill", "the tensor");
        if (!tensor.device().equals(device)) {
            throw PanoptimException.invalid("Engine.fill", tensor + " lies on " + tensor.device() + ", but this is the engine of " + device);
        }
        checkAddress("Engine.fill", "the tensor", tensor);
        if (tensor.bytes() == 0) {
            return;
        }
        MemorySegment bits = MemorySegment.ofArray(new long[1]);
        DType dtype = tensor.dtype();
        dtype.set(bits, 0, value);
        int low = bits.get(ValueLayout.JAVA_INT_UNALIGNED, 0);
        int high = bits.get(ValueLayout.JAVA_INT_UNALIGNED, 4);
        enter("Engine.fill");
        try {
            if (dtype.bytes() < 8) {
                calls.set(tensor.address(), low, dtype.bytes(), tensor.elements(), stream.handle());
            } else if (low == high) {
                calls.set(tensor.address(), low, 4, tensor.elements() * 2, stream.handle());
            } else {
                fillTwice(tensor.address(), low, high, tensor.bytes(), stream.handle());
            }
        } finally {
            context.exit();
            Reference.reachabilityFence(tensor);
        }
    }

    /** The driver sets no more than 4 bytes at a time: the first element is made of two, and all others are copied from those before. */
    private void fillTwice(long address, int low, int high, long bytes, long stream) {
        calls.set(address, low, 4, 1, stream);
        calls.set(address + 4, high, 4, 1, stream);
        for (long done = 8; done < bytes; done *= 2) {
            calls.copyOnDevice(address + done, address, Math.min(done, bytes - done), stream);
        }
    }

    @Override
    public void checkRule(Rule rule) {
        if (rule.id() < 0) {
            throw PanoptimException.unsupported("Table", "the cuda engine does not run rules of a user's own yet, such as " + rule);
        }
    }

    @Override
    public Table table(Rule rule, List<TensorEntry> entries) {
        checkRule(rule);
        return build(rule, entries);
    }

    @Override
    public Table table(List<TensorEntry> entries) {
        return build(null, entries);
    }

    private Table build(@Nullable Rule rule, List<TensorEntry> entries) {
        return within("Table", () -> new CudaTable(this, rule, entries));
    }

    private CudaTable own(String call, Table table) {
        if (table instanceof CudaTable own && own.engine() == this) {
            return own;
        }
        throw PanoptimException.invalid(call, "the table was built by another engine");
    }

    @Override
    protected int extras() {
        return ALL_EXTRAS;
    }

    @Override
    protected void checkControl(String call, Control control) {
        CudaControl.of(call, control, this);
    }

    @Override
    public Control control() {
        return within("Engine.control", () -> new CudaControl(this));
    }

    /** {@inheritDoc} The CPU waits for nothing of it. */
    @Override
    protected void measureGradients(List<Table> tables, Measurement measurement, Control control, Stream stream) {
        CudaControl block = CudaControl.of("Engine.measure", control, this);
        Reduction parts = Reduction.norm(Column.GRADIENT, measurement.p()).parts();
        List<CudaTable> own = tables.stream().map(table -> own("Engine.measure", table)).toList();
        enter("Engine.measure");
        try {
            own.forEach(table -> table.checkMeasurable(parts)); // before the first of them has left anything in the block
            long results = block.parts(own.size());
            for (int i = 0; i < own.size(); i++) {
                own.get(i).measure(parts, measurement.unscale(), block, results + i * (long) Double.BYTES, stream.handle());
            }
            block.measured(measurement, own.size(), stream.handle());
        } finally {
            context.exit();
        }
    }

    @Override
    protected void update(Table table, Rows rows, @Nullable Control control, Extras extras, Stream stream) {
        CudaTable own = own("Engine.step", table);
        enter("Engine.step");
        try {
            own.step(rows, control == null ? null : CudaControl.of("Engine.step", control, this), extras, stream.handle());
        } finally {
            context.exit();
        }
    }

    @Override
    protected void updateRows(Table table, Rule rule, List<RowGradient> gradients, Rows rows, Stream stream) {
        CudaTable own = own("Engine.stepRows", table);
        enter("Engine.stepRows");
        try {
            own.stepRows(rule, gradients, rows, stream.handle());
        } finally {
            context.exit();
        }
    }

    @Override
    protected void mapColumns(Table table, MapOperation operation, Stream stream) {
        CudaTable own = own("Engine.map", table);
        enter("Engine.map");
        try {
            own.map(operation, stream.handle());
        } finally {
            context.exit();
        }
    }

    @Override
    protected Reduction.Result reduceColumns(Table table, Reduction reduction, Stream stream) {
        CudaTable own = own("Engine.reduce", table);
        return within("Engine.reduce", () -> own.reduce(reduction, stream.handle()));
    }

    /**
     * {@inheritDoc} cuBLAS multiplies; it is looked for when the first product is planned. Where gamma is given, the result of a half type
     * is rounded once more, after gamma is added. A product can be captured; its factors are then those of the time of the capture.
     */
    @Override
    public MatrixProduct.Plan matrixProduct(MatrixProduct product) {
        return within("matmul", () -> new CudaProduct(this, product));
    }

    /**
     * {@inheritDoc} The CPU's best engine decomposes copies of them: on a host without OpenBLAS that is plain Java, and far slower. It
     * cannot be captured.
     */
    @Override
    public void decompose(Decomposition decomposition, Stream stream) {
        decomposition.check(this, false);
        if (capturing(stream.handle()) != null) {
            throw PanoptimException.unsupported("Engine.decompose", "a decomposition cannot be captured: the CPU does it");
        }
        enter("Engine.decompose");
        try {
            new CudaDecomposition(calls, Engines.forDevice(Device.cpu()), stream.handle()).run(decomposition);
        } finally {
            context.exit();
            Reference.reachabilityFence(decomposition);
        }
    }

    /** {@inheritDoc} A step cannot be captured. */
    @Override
    public FactoredStep factoredStep(List<Factored> tensors) {
        return within("Engine.factoredStep", () -> new CudaFactored(this, tensors));
    }

    void run(CudaProduct product, double alpha, double beta, double gamma, long stream) {
        enter("matmul");
        try {
            product.launch(alpha, beta, gamma, stream);
        } finally {
            context.exit();
        }
    }

    /** cuBLAS on this device, or why there is none; opened in the current context. */
    synchronized Cublas cublas() {
        if (cublas == null) {
            cublas = Cublas.open(device + " (" + context.gpu().name() + ")", CudaDriver.major());
        }
        return cublas;
    }

    /** What cuBLAS may use on a stream meanwhile: as much as its makers say. */
    long workspaceBytes() {
        return context.gpu().major() >= 9 ? 32L << 20 : 4L << 20;
    }

    /** What cuBLAS may use on a stream; or, while that is captured, in the graph, which may be replayed on another. */
    synchronized long workspace(long stream) {
        CudaGraph graph = capturing(stream);
        if (graph != null) {
            return graph.workspace();
        }
        if (workspaces == null) {
            workspaces = memory("workspaces of cuBLAS");
        }
        CudaMemory memory = workspaces;
        return workspaceOf.computeIfAbsent(stream, handle -> memory.zeros(DType.UINT8, workspaceBytes()).address());
    }

    /** Any handle can be one of the driver's. */
    @Override
    protected void checkStream(String call, Stream stream) {}

    /**
     * Gives the kernels and the context back; idempotent. Tables and memory that are still open can be closed later. The engines that
     * {@link io.panoptim.engine.Engines} shares are not the caller's to close.
     */
    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            within(() -> {
                results.close();
                if (cublas != null) {
                    cublas.close();
                }
                if (workspaces != null) {
                    workspaces.close();
                }
                if (side != null) {
                    side.close();
                }
                kernels.close();
            });
            context.close();
        }
    }
}
