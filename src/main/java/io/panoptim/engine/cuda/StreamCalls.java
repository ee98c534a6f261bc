package io.panoptim.engine.cuda;

import io.panoptim.ffi.cuda_driver;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** The driver's calls that are made for every step or are ordered on a stream, whoever made it. They allocate nothing. */
final class StreamCalls {
    /** Only the capturing thread is kept from what a graph cannot hold, and by us. */
    private static final int CAPTURE_RELAXED = 2;
    private static final int NOT_READY = 600;
    private static final int INVALID_VALUE = 1;
    private static final int MEMORY_TYPE = 2;
    private static final int DEVICE_ORDINAL = 9;
    private static final int IS_MANAGED = 8;
    private static final int MEMORY_OF_HOST = 1;

    private final CudaContext context;
    private MemorySegment lastStream = MemorySegment.NULL;

    StreamCalls(CudaContext context) {
        this.context = context;
    }

    /** A stream's handle as the bindings take it; threads may race for the last one, as each gets what it asks for. */
    private MemorySegment stream(long handle) {
        MemorySegment stream = lastStream;
        if (stream.address() != handle) {
            stream = MemorySegment.ofAddress(handle);
            lastStream = stream;
        }
        return stream;
    }

    /** Blocks of so many threads in one dimension; the parameters are pointers to them. */
    void launch(MemorySegment function, int blocks, int threads, MemorySegment parameters, long stream) {
        context.check("cuLaunchKernel", cuda_driver.cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, stream(stream), parameters,
                MemorySegment.NULL));
    }

    void copyToDevice(long to, MemorySegment from, long bytes, long stream) {
        context.check("cuMemcpyHtoDAsync", cuda_driver.cuMemcpyHtoDAsync_v2(to, from, bytes, stream(stream)));
    }

    void copyToHost(MemorySegment to, long from, long bytes, long stream) {
        context.check("cuMemcpyDtoHAsync", cuda_driver.cuMemcpyDtoHAsync_v2(to, from, bytes, stream(stream)));
    }

    void copyOnDevice(long to, long from, long bytes, long stream) {
        context.check("cuMemcpyDtoDAsync", cuda_driver.cuMemcpyDtoDAsync_v2(to, from, bytes, stream(stream)));
    }

    /**
     * Sets elements to a pattern.
     *
     * @param size of an element, in bytes: 1, 2 or 4
     */
    void set(long address, int pattern, int size, long elements, long stream) {
        context.check("cuMemsetAsync", switch (size) {
            case 1 -> cuda_driver.cuMemsetD8Async(address, (byte) pattern, elements, stream(stream));
            case 2 -> cuda_driver.cuMemsetD16Async(address, (short) pattern, elements, stream(stream));
            default -> cuda_driver.cuMemsetD32Async(address, pattern, elements, stream(stream));
        });
    }

    void synchronize(long stream) {
        context.check("cuStreamSynchronize", cuda_driver.cuStreamSynchronize(stream(stream)));
    }

    void record(CudaContext.Event event, long stream) {
        context.check("cuEventRecord", cuda_driver.cuEventRecord(event.address(), stream(stream)));
    }

    /** Waits for an event, only if it has not happened yet. */
    void await(CudaContext.Event event) {
        if (!hasHappened(event)) {
            context.check("cuEventSynchronize", cuda_driver.cuEventSynchronize(event.address()));
        }
    }

    /** Whether an event has happened, without waiting for it. */
    boolean hasHappened(CudaContext.Event event) {
        int result = cuda_driver.cuEventQuery(event.address());
        if (result != NOT_READY) {
            context.check("cuEventQuery", result);
        }
        return result != NOT_READY;
    }

    /** Whether an address is of this device's memory, or of memory that moves between it and the CPU. */
    boolean isOnDevice(long address) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(ValueLayout.JAVA_INT);
            int result = cuda_driver.cuPointerGetAttribute(value, MEMORY_TYPE, address);
            if (result == INVALID_VALUE) { // an address that the driver does not know
                return false;
            }
            context.check("cuPointerGetAttribute", result);
            if (value.get(ValueLayout.JAVA_INT, 0) == MEMORY_OF_HOST) {
                return attribute(value, IS_MANAGED, address) != 0;
            }
            return attribute(value, DEVICE_ORDINAL, address) == context.gpu().index();
        }
    }

    /** Whether an address of the CPU's memory is page-locked, so that copies need not be waited for. */
    boolean isPinned(long address) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(ValueLayout.JAVA_INT);
            return cuda_driver.cuPointerGetAttribute(value, MEMORY_TYPE, address) == 0
                    && value.get(ValueLayout.JAVA_INT, 0) == MEMORY_OF_HOST;
        }
    }

    private int attribute(MemorySegment value, int attribute, long address) {
        value.set(ValueLayout.JAVA_INT, 0, 0);
        context.check("cuPointerGetAttribute", cuda_driver.cuPointerGetAttribute(value, attribute, address));
        return value.get(ValueLayout.JAVA_INT, 0);
    }

    void beginCapture(long stream) {
        context.check("cuStreamBeginCapture", cuda_driver.cuStreamBeginCapture_v2(stream(stream), CAPTURE_RELAXED));
    }

    /** Ends a capture that has failed, whatever comes of it. */
    void abandonCapture(long stream) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment graph = arena.allocate(ValueLayout.ADDRESS);
            if (cuda_driver.cuStreamEndCapture(stream(stream), graph) == 0 && graph.get(ValueLayout.ADDRESS, 0).address() != 0) {
                cuda_driver.cuGraphDestroy(graph.get(ValueLayout.ADDRESS, 0));
            }
        }
    }

    /** Ends a capture and makes of it what can be launched. */
    MemorySegment endCapture(long stream) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ValueLayout.ADDRESS);
            context.check("cuStreamEndCapture", cuda_driver.cuStreamEndCapture(stream(stream), result));
            MemorySegment graph = result.get(ValueLayout.ADDRESS, 0);
            try {
                context.check("cuGraphInstantiate", cuda_driver.cuGraphInstantiateWithFlags(result, graph, 0));
                return result.get(ValueLayout.ADDRESS, 0);
            } finally {
                cuda_driver.cuGraphDestroy(graph);
            }
        }
    }

    void launchGraph(MemorySegment executable, long stream) {
        context.check("cuGraphLaunch", cuda_driver.cuGraphLaunch(executable, stream(stream)));
    }

    void freeGraph(MemorySegment executable) {
        cuda_driver.cuGraphExecDestroy(executable);
    }
}
