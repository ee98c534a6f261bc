package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.cuda.CudaContext.Pinned;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** Page-locked memory of the CPU. */
final class PinnedMemory implements Memory {
    private static final long SMALLEST = 64;

    private final CudaEngine engine;
    private final Arena arena = Arena.ofShared();
    private final List<Pinned> allocated = new ArrayList<>();
    private long bytes;

    PinnedMemory(CudaEngine engine) {
        this.engine = engine;
    }

    @Override
    public Device device() {
        return Device.cpu();
    }

    @Override
    public Tensor zeros(DType dtype, long... shape) {
        Tensor unplaced = Tensor.ofAddress(0, this, engine.device(), dtype, shape);
        return Tensor.of(allocate(unplaced.bytes()), dtype, shape);
    }

    @Override
    public Tensor zerosLike(Tensor tensor, DType dtype) {
        return Tensor.of(allocate(tensor.elements() * dtype.bytes()), dtype, tensor.shape(), tensor.strides());
    }

    private synchronized MemorySegment allocate(long size) {
        if (!arena.scope().isAlive()) {
            throw new PanoptimException(Code.CLOSED, "Memory", "the memory is closed");
        }
        Pinned memory = engine.allocatePinned(Math.max(SMALLEST, size), "tensors");
        allocated.add(memory);
        bytes += size;
        return MemorySegment.ofAddress(memory.segment().address()).reinterpret(size, arena, null).fill((byte) 0);
    }

    @Override
    public synchronized long bytes() {
        return bytes;
    }

    /** Waits for copies that are under way. */
    @Override
    public synchronized void close() {
        try {
            if (arena.scope().isAlive()) {
                arena.close();
                allocated.forEach(engine::free);
            }
        } catch (IllegalStateException inUse) {
            throw new PanoptimException(Code.CONCURRENT, "Memory.close", "the memory is in use: close it again later", inUse);
        }
    }
}
