package io.panoptim.optim;

import io.panoptim.tensor.DType;
import io.panoptim.tensor.Device;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * Where a tensor lies: parameters in one place are one, tied, parameter.
 *
 * @param array the Java array it lies in, or null
 * @param address its first byte
 * @param bytes its length
 * @param dtype what its bytes mean
 */
public record Place(@Nullable Object array, long address, long bytes, DType dtype) {
    public static Place of(Tensor tensor) {
        return new Place(tensor.device().kind() == Device.Kind.CPU ? array(tensor.segment()) : null, tensor.address(),
                tensor.bytes(), tensor.dtype());
    }

    /** What parameters have in common that are one: their place; an empty one, which has none, is by itself. */
    public static Object key(Parameter parameter) {
        return parameter.value().elements() == 0 ? parameter : of(parameter.value());
    }

    /** A read-only segment hides its array, so it stands for itself. */
    private static @Nullable Object array(MemorySegment segment) {
        return segment.isNative() ? null : segment.heapBase().orElse(segment);
    }
}
