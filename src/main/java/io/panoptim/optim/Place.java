package io.panoptim.optim;

import io.panoptim.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Where a tensor lies: parameters in one place are one, tied, parameter.
 *
 * @param array the Java array it lies in, or null
 * @param address its first byte
 * @param bytes its length
 */
record Place(@Nullable Object array, long address, long bytes) {
    static Place of(Tensor tensor) {
        return new Place(tensor.owner() == null ? tensor.segment().heapBase().orElse(null) : null, tensor.address(),
                tensor.bytes());
    }
}
