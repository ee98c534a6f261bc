package io.panoptim.engine;

import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Memory of the CPU, in one shared arena. */
public final class HostMemory implements Memory {
    private static final long ALIGNMENT = 64;

    private final Arena arena = Arena.ofShared();
    private long bytes;

    @Override
    public Device device() {
        return Device.cpu();
    }

    @Override
    public Tensor zeros(DType dtype, long... shape) {
        Tensor tensor = Tensor.zeros(arena, dtype, shape);
        bytes += tensor.bytes();
        return tensor;
    }

    @Override
    public Tensor zerosLike(Tensor tensor) {
        MemorySegment segment = arena.allocate(tensor.bytes(), ALIGNMENT);
        bytes += tensor.bytes();
        return Tensor.of(segment, tensor.dtype(), tensor.shape(), tensor.strides());
    }

    @Override
    public long bytes() {
        return bytes;
    }

    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }
}
