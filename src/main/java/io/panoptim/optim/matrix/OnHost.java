package io.panoptim.optim.matrix;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Stream;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.function.Consumer;

/** Tensors of an engine's device as the CPU sees them: themselves where they are in its memory, else copies. */
final class OnHost {
    private OnHost() {}

    /** What a tensor has when all before it on the stream is done. */
    static Tensor read(Engine engine, Tensor tensor, Arena arena, Stream stream) {
        if (tensor.device().kind() == Device.Kind.CPU) {
            return tensor;
        }
        Tensor copy = Tensor.zeros(arena, tensor.dtype(), tensor.shape());
        engine.copy(tensor, copy, stream);
        return copy;
    }

    /** Writes a row-major tensor, of zeros before. */
    static void write(Engine engine, Tensor tensor, Stream stream, Consumer<Tensor> writer) {
        if (tensor.device().kind() == Device.Kind.CPU) {
            engine.fill(tensor, 0, stream);
            writer.accept(tensor);
            return;
        }
        try (Arena arena = Arena.ofConfined()) {
            Tensor copy = Tensor.zeros(arena, tensor.dtype(), tensor.shape());
            writer.accept(copy);
            engine.copy(copy, tensor, stream);
        }
    }
}
