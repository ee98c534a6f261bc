package io.panoptim.engine.cuda;

import io.panoptim.engine.cuda.CudaDriver.Gpu;
import io.panoptim.ffi.cuda_driver;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;

/**
 * A device's primary context, which all libraries in the process share, and what is made and destroyed in it. A thread enters it for
 * the time of a call; the context that was current before is so again afterwards.
 */
final class CudaContext implements AutoCloseable {
    private static final Logger LOGGER = System.getLogger(CudaContext.class.getName());
    /** For results that nobody reads. */
    private static final MemorySegment IGNORED = Arena.global().allocate(ValueLayout.ADDRESS);

    /** JCuda's objects tell their addresses to subclasses only. */
    private static final class Context extends CUcontext {
        MemorySegment address() {
            return MemorySegment.ofAddress(getNativePointer());
        }
    }

    private static final class Address extends CUdeviceptr {
        long address() {
            return getNativePointer();
        }
    }

    private static final class HostAddress extends Pointer {
        long address() {
            return getNativePointer();
        }
    }

    private static final class StreamHandle extends CUstream {
        long address() {
            return getNativePointer();
        }
    }

    private static final class EventHandle extends CUevent {
        MemorySegment address() {
            return MemorySegment.ofAddress(getNativePointer());
        }
    }

    private static final class FunctionHandle extends CUfunction {
        MemorySegment address() {
            return MemorySegment.ofAddress(getNativePointer());
        }
    }

    private final CUdevice device;
    private final Gpu gpu;
    private final MemorySegment context;
    private boolean closed;

    CudaContext(int index) {
        this.device = CudaDriver.device(index);
        this.gpu = CudaDriver.gpu(device, index);
        Context retained = new Context();
        check("cuDevicePrimaryCtxRetain", JCudaDriver.cuDevicePrimaryCtxRetain(retained, device));
        this.context = retained.address();
    }

    Gpu gpu() {
        return gpu;
    }

    /** Makes the context the calling thread's current one. */
    void enter() {
        check("cuCtxPushCurrent", cuda_driver.cuCtxPushCurrent_v2(context));
    }

    /** Ends what {@link #enter} began. */
    void exit() {
        cuda_driver.cuCtxPopCurrent_v2(IGNORED); // whatever else has failed is what the caller is to hear of
    }

    void check(String call, int result) {
        if (result != CUresult.CUDA_SUCCESS) {
            throw failure(call, result);
        }
    }

    CudaException failure(String call, int result) {
        return CudaException.of(result, CudaDriver.name(result), call, () -> "cuda:" + gpu.index() + " (" + gpu.name() + ")");
    }

    /** What cannot be freed on a lost device is lost with it: everything still closes. */
    private void checkFreed(String call, int result) {
        if (result != CUresult.CUDA_SUCCESS) {
            LOGGER.log(Level.DEBUG, () -> String.valueOf(failure(call, result).getMessage()));
        }
    }

    /** Device memory; its content is undefined. */
    long allocate(long bytes) {
        Address address = new Address();
        check("cuMemAlloc of " + bytes + " bytes", JCudaDriver.cuMemAlloc(address, bytes));
        return address.address();
    }

    /** Waits for everything that was ordered in the context. */
    void await() {
        checkFreed("cuCtxSynchronize", JCudaDriver.cuCtxSynchronize());
    }

    void free(long address) {
        checkFreed("cuMemFree", JCudaDriver.cuMemFree(new CUdeviceptr().withByteOffset(address)));
    }

    /** Page-locked memory of the CPU; its content is undefined. */
    Pinned allocatePinned(long bytes) {
        HostAddress address = new HostAddress();
        check("cuMemHostAlloc of " + bytes + " bytes", JCudaDriver.cuMemHostAlloc(address, bytes, 0));
        return new Pinned(address, MemorySegment.ofAddress(address.address()).reinterpret(bytes));
    }

    void free(Pinned memory) {
        checkFreed("cuMemFreeHost", JCudaDriver.cuMemFreeHost(memory.pointer));
    }

    /**
     * Page-locked memory of the CPU.
     *
     * @param pointer by which JCuda frees it
     * @param segment all of it, of no arena
     */
    record Pinned(Pointer pointer, MemorySegment segment) {}

    /** A stream that does not wait for the legacy default stream. */
    CudaStream stream(CudaEngine engine) {
        StreamHandle stream = new StreamHandle();
        check("cuStreamCreate", JCudaDriver.cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING));
        return new CudaStream(engine, stream, stream.address());
    }

    void free(CUstream stream) {
        checkFreed("cuStreamDestroy", JCudaDriver.cuStreamDestroy(stream));
    }

    /** An event that keeps no time. */
    Event event() {
        EventHandle event = new EventHandle();
        check("cuEventCreate", JCudaDriver.cuEventCreate(event, CUevent_flags.CU_EVENT_DISABLE_TIMING));
        return new Event(event, event.address());
    }

    void free(Event event) {
        checkFreed("cuEventDestroy", JCudaDriver.cuEventDestroy(event.handle));
    }

    /**
     * A point in a stream's work.
     *
     * @param handle by which JCuda destroys it
     * @param address the same for {@link StreamCalls}
     */
    record Event(CUevent handle, MemorySegment address) {}

    /** Loads a fat binary or a cubin; it stays loaded as long as the context. */
    CUmodule module(byte[] image) {
        CUmodule module = new CUmodule();
        check("cuModuleLoadData", JCudaDriver.cuModuleLoadData(module, image));
        return module;
    }

    void free(CUmodule module) {
        checkFreed("cuModuleUnload", JCudaDriver.cuModuleUnload(module));
    }

    MemorySegment function(CUmodule module, String name) {
        FunctionHandle function = new FunctionHandle();
        check("cuModuleGetFunction of " + name, JCudaDriver.cuModuleGetFunction(function, module, name));
        return function.address();
    }

    /** The address of a module's variable. */
    long variable(CUmodule module, String name) {
        Address address = new Address();
        check("cuModuleGetGlobal of " + name, JCudaDriver.cuModuleGetGlobal(address, new long[1], module, name));
        return address.address();
    }

    /** Free device memory, in bytes. */
    long freeBytes() {
        long[] free = new long[1];
        check("cuMemGetInfo", JCudaDriver.cuMemGetInfo(free, new long[1]));
        return free[0];
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            checkFreed("cuDevicePrimaryCtxRelease", JCudaDriver.cuDevicePrimaryCtxRelease(device));
        }
    }
}
