package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Control;
import io.panoptim.engine.ControlBlock;
import io.panoptim.engine.Measurement;
import io.panoptim.engine.Scaling;
import io.panoptim.engine.Stream;
import io.panoptim.ffi.panoptim_control;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.Deque;
import org.jspecify.annotations.Nullable;

/**
 * A control block in device memory, on which tiny kernels work ({@code kernels/control.cu}); after each of them it is copied to the CPU
 * in its turn. A stream that uses a block waits for no other: who uses several sees to that.
 */
final class CudaControl implements Control {
    private static final long SIZE = 96; // of ControlArguments in kernels/control.cu, whose fields these are:
    private static final long CONTROL = 0;
    private static final long OTHER = 8;
    private static final long PARTS = 16;
    private static final long PART_COUNT = 24;
    private static final long NONFINITE = 32;
    private static final long P = 40;
    private static final long MAX_NORM = 48;
    private static final long GROWTH_FACTOR = 56;
    private static final long BACKOFF_FACTOR = 64;
    private static final long GROWTH_INTERVAL = 72;
    private static final long HYSTERESIS = 76;
    private static final long GROWTH_TRACKER = 80;
    private static final long SKIPS = 84;
    private static final long VALUE = 88;

    private final CudaEngine engine;
    private final Arena arena = Arena.ofShared();
    private final CudaMemory memory;
    private final long block;
    private final long nonfinite;
    private final Arrivals arrivals;
    private final MemorySegment arguments;
    private final MemorySegment pointer;
    /** Those that are not known yet, the oldest one first. */
    private final Deque<Later> outcomes = new ArrayDeque<>();
    private long parts;
    private int partCapacity;
    private boolean closed;

    CudaControl(CudaEngine engine) {
        this.engine = engine;
        this.memory = engine.memory("loss scaling");
        this.arguments = arena.allocate(SIZE, 8);
        this.pointer = arena.allocate(ValueLayout.ADDRESS);
        pointer.set(ValueLayout.ADDRESS, 0, arguments);
        MemorySegment initial = ControlBlock.allocate(arena);
        this.block = memory.zeros(DType.UINT8, initial.byteSize()).address();
        this.nonfinite = memory.zeros(DType.UINT8, Integer.BYTES).address();
        engine.calls().copyToDevice(block, initial, initial.byteSize(), engine.sideStream());
        engine.calls().synchronize(engine.sideStream());
        this.arrivals = new Arrivals(engine, block, initial);
        arguments.set(ValueLayout.JAVA_LONG, CONTROL, block);
        arguments.set(ValueLayout.JAVA_LONG, NONFINITE, nonfinite);
    }

    /** One of an engine's blocks that is open, or a refusal. */
    static CudaControl of(String call, Control control, CudaEngine engine) {
        if (!(control instanceof CudaControl own) || own.engine != engine) {
            throw PanoptimException.invalid(call, "the control block is another device's");
        }
        own.checkOpen(call);
        return own;
    }

    void checkOpen(String call) {
        if (closed) {
            throw new PanoptimException(Code.CLOSED, call, "the control block is closed");
        }
    }

    /** The {@code panoptim_control} on the device. */
    long address() {
        return block;
    }

    /** Where kernels say that an element was infinite or NaN. */
    long nonfinite() {
        return nonfinite;
    }

    /** Where so many tables' results go. */
    long parts(int count) {
        if (partCapacity < count) {
            partCapacity = Math.max(count, 2 * partCapacity);
            parts = memory.zeros(DType.FLOAT64, partCapacity).address(); // the former may still be in use, and in a graph
        }
        return parts;
    }

    Arrivals arrivals() {
        return arrivals;
    }

    /** Writes what follows from the parts. */
    void measured(Measurement measurement, int count, long stream) {
        arguments.set(ValueLayout.JAVA_LONG, PARTS, parts);
        arguments.set(ValueLayout.JAVA_LONG, PART_COUNT, count);
        arguments.set(ValueLayout.JAVA_DOUBLE, P, measurement.p());
        arguments.set(ValueLayout.JAVA_DOUBLE, MAX_NORM, measurement.maxNorm());
        arguments.set(ValueLayout.JAVA_INT, SKIPS, measurement.skips() ? 1 : 0);
        launch("measured", stream);
    }

    /** Within the context. */
    private void launch(String operation, long stream) {
        engine.launch(engine.function(CudaKernels.Source.CONTROL, null, "panoptim_control_" + operation), 1, pointer, stream);
        CudaGraph graph = engine.capturing(stream);
        if (graph == null) {
            arrivals.order(stream);
        } else {
            graph.add(this);
        }
    }

    private void run(String call, String operation, Stream stream) {
        engine.within(call, () -> {
            launch(operation, stream.handle());
            return null;
        });
    }

    private MemorySegment values(String call, boolean waiting) {
        checkOpen(call);
        return engine.within(call, () -> waiting ? arrivals.awaited() : arrivals.latest());
    }

    @Override
    public Values latest() {
        return ControlBlock.values(values("Control.latest", false));
    }

    @Override
    public Values read() {
        return ControlBlock.values(values("Control.read", true));
    }

    @Override
    public boolean foundInf() {
        return ControlBlock.foundInf(values("Control.foundInf", true));
    }

    @Override
    public Tensor scale() {
        return Tensor.ofAddress(block + panoptim_control.scale$offset(), memory, engine.device(), DType.FLOAT32, 1);
    }

    @Override
    public Outcome outcome() {
        checkOpen("Control.outcome");
        Later newest = outcomes.peekLast();
        if (newest != null && arrivals.isNewest(newest.place)) {
            return newest;
        }
        if (outcomes.size() == Arrivals.MOST_HELD) {
            outcomes.getFirst().skipped();
        }
        int place = arrivals.hold();
        if (place == Arrivals.NONE) {
            return Outcome.TAKEN;
        }
        Later later = new Later(place);
        outcomes.add(later);
        return later;
    }

    /** What has been found when the device has got so far: it is asked for once, at the latest when the block is closed. */
    private final class Later implements Outcome {
        private final int place;
        private @Nullable Boolean skipped;

        Later(int place) {
            this.place = place;
        }

        @Override
        public boolean isKnown() {
            return skipped != null;
        }

        @Override
        public boolean skipped() {
            Boolean known = skipped;
            if (known == null) {
                checkOpen("Control.Outcome.skipped");
                known = engine.within("Control.Outcome.skipped", () -> ControlBlock.foundInf(arrivals.released(place)));
                skipped = known;
                outcomes.remove(this);
            }
            return known;
        }
    }

    @Override
    public void scale(float scale, int growthTracker, int hysteresisTracker, Stream stream) {
        checkOpen("Control.scale");
        Scaling.checkScale("Control.scale", scale);
        arguments.set(ValueLayout.JAVA_FLOAT, VALUE, scale);
        arguments.set(ValueLayout.JAVA_INT, GROWTH_TRACKER, growthTracker);
        arguments.set(ValueLayout.JAVA_INT, HYSTERESIS, hysteresisTracker);
        run("Control.scale", "scale", stream);
    }

    @Override
    public void foundInf(float foundInf, Stream stream) {
        checkOpen("Control.foundInf");
        arguments.set(ValueLayout.JAVA_FLOAT, VALUE, foundInf);
        run("Control.foundInf", "found_inf", stream);
    }

    @Override
    public void scaleOf(Control other, Stream stream) {
        follow("Control.scaleOf", "scale_of", other, stream);
    }

    @Override
    public void merge(Control other, Stream stream) {
        follow("Control.merge", "merge", other, stream);
    }

    private void follow(String call, String operation, Control other, Stream stream) {
        checkOpen(call);
        arguments.set(ValueLayout.JAVA_LONG, OTHER, of(call, other, engine).block);
        run(call, operation, stream);
    }

    @Override
    public void update(Scaling scaling, Stream stream) {
        checkOpen("Control.update");
        arguments.set(ValueLayout.JAVA_DOUBLE, GROWTH_FACTOR, scaling.growthFactor());
        arguments.set(ValueLayout.JAVA_DOUBLE, BACKOFF_FACTOR, scaling.backoffFactor());
        arguments.set(ValueLayout.JAVA_INT, GROWTH_INTERVAL, scaling.growthInterval());
        arguments.set(ValueLayout.JAVA_INT, HYSTERESIS, scaling.hysteresis());
        run("Control.update", "update", stream);
    }

    /** Whether an outcome could be had: not after a fault, after which nobody may ask for it either. */
    private static boolean learn(Later outcome) {
        try {
            outcome.skipped();
            return true;
        } catch (PanoptimException fault) {
            return false;
        }
    }

    /** Waits for what is being done with it. */
    @Override
    public void close() {
        if (!closed) {
            while (!outcomes.isEmpty() && learn(outcomes.getFirst())) {}
            closed = true;
            engine.within(() -> {
                memory.close();
                arrivals.close();
            });
            arena.close();
        }
    }
}
