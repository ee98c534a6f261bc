package io.panoptim.checkpoint;

import java.util.List;

/**
 * What a safetensors file says about one tensor.
 *
 * @param type the type of its elements
 * @param shape the size of each dimension, row-major; none for a single element
 * @param begin its first byte, counted from the end of the header
 * @param end one past its last byte
 */
public record TensorInfo(StoredType type, List<Long> shape, long begin, long end) {
    /** The number of elements. */
    public long elements() {
        return shape.stream().mapToLong(Long::longValue).reduce(1, (a, b) -> a * b);
    }

    /** For messages: {@code F32[2, 3]}. */
    @Override
    public String toString() {
        return type.name() + shape;
    }

    long[] dimensions() {
        return shape.stream().mapToLong(Long::longValue).toArray();
    }
}
