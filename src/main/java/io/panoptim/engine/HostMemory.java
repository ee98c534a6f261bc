package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.HugePageArena;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.function.Supplier;

/** Memory of the CPU, in one shared arena. */
public final class HostMemory implements Memory {
    private static final long ALIGNMENT = 64;

    private final Arena arena = HugePageArena.ofShared();
    private long bytes;

    @Override
    public Device device() {
        return Device.cpu();
    }

    @Override
    public Tensor zeros(DType dtype, long... shape) {
        return counted(() -> Tensor.zeros(arena, dtype, shape));
    }

    @Override
    public Tensor zerosLike(Tensor tensor, DType dtype) {
        return counted(() -> Tensor.of(arena.allocate(tensor.elements() * dtype.bytes(), ALIGNMENT), dtype, tensor.shape(),
                tensor.strides()));
    }

    private Tensor counted(Supplier<Tensor> allocation) {
        try {
            Tensor tensor = allocation.get();
            bytes += tensor.bytes();
            return tensor;
        } catch (OutOfMemoryError exhausted) {
            throw new PanoptimException(Code.EXHAUSTED, "Memory", "no memory left: " + exhausted.getMessage(), exhausted);
        }
    }

    @Override
    public long bytes() {
        return bytes;
    }

    @Override
    public void close() {
        try {
            if (arena.scope().isAlive()) {
                arena.close();
            }
        } catch (IllegalStateException inUse) {
            throw new PanoptimException(Code.CONCURRENT, "Memory.close", "the memory is in use: close it again later", inUse);
        }
    }
}
