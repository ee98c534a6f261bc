package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/** Memory of a CUDA device, taken from the driver in slabs that grow, as it gives nothing smaller than some pages at a time. */
final class CudaMemory implements Memory, Tensor.Owned {
    /** What a memory transaction takes; a tensor's like begins at the same place in one, so that both are loaded in whole vectors. */
    private static final long LINE = 128;
    private static final long FIRST_SLAB = 1 << 16;
    private static final long LARGEST_SLAB = 1 << 26;

    private final CudaEngine engine;
    private final String purpose;
    private final List<Long> slabs = new ArrayList<>();
    private long slabSize = FIRST_SLAB;
    private long next;
    private long end;
    private long bytes;
    private volatile boolean closed;

    CudaMemory(CudaEngine engine, String purpose) {
        this.engine = engine;
        this.purpose = purpose;
    }

    @Override
    public Device device() {
        return engine.device();
    }

    @Override
    public synchronized Tensor zeros(DType dtype, long... shape) {
        Tensor unplaced = Tensor.ofAddress(0, this, device(), dtype, shape);
        return Tensor.ofAddress(allocate(unplaced.bytes(), 0), this, device(), dtype, shape);
    }

    @Override
    public synchronized Tensor zerosLike(Tensor tensor, DType dtype) {
        long phase = tensor.address() / tensor.dtype().bytes() * dtype.bytes() % LINE; // vectors begin at the same elements
        long address = allocate(tensor.elements() * dtype.bytes(), phase);
        return Tensor.ofAddress(address, this, device(), dtype, tensor.elements()).part(0, tensor);
    }

    private long allocate(long size, long phase) {
        if (closed) {
            throw new PanoptimException(Code.CLOSED, "Memory", "the memory is closed");
        }
        long address = next + Math.floorMod(phase - next, LINE);
        if (address + size > end) {
            long slab = Math.max(slabSize, (size + 2 * LINE - 1) / LINE * LINE);
            next = engine.allocateZeros(purpose, slab);
            slabs.add(next);
            end = next + slab;
            slabSize = Math.min(LARGEST_SLAB, 2 * slabSize);
            address = next + Math.floorMod(phase - next, LINE);
        }
        next = address + size;
        bytes += size;
        return address;
    }

    @Override
    public synchronized long bytes() {
        return bytes;
    }

    /** Whose it is: other engines of the device do not know it. */
    CudaEngine engine() {
        return engine;
    }

    @Override
    public boolean isAlive() {
        return !closed;
    }

    /** Waits for what is being done with it. */
    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            engine.free(slabs);
        }
    }
}
