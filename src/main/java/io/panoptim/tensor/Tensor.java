package io.panoptim.tensor;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Objects;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Memory with an element type, a shape and a layout. A tensor never copies or frees the memory it wraps, which stays
 * its owner's.
 *
 * <p>Layouts are dense: the elements fill their range of memory without gaps, in any order of the dimensions.
 */
public final class Tensor {
    private final DType dtype;
    private final Device device;
    private final long[] shape;
    private final long[] strides;
    private final long elements;
    private final long address;
    private final @Nullable MemorySegment segment;
    private final @Nullable Object owner;

    private Tensor(DType dtype, Device device, long[] shape, long[] strides, long address,
                   @Nullable MemorySegment segment, @Nullable Object owner) {
        this.dtype = dtype;
        this.device = device;
        this.shape = shape;
        this.strides = strides;
        this.elements = elements(shape);
        this.address = address;
        this.segment = segment;
        this.owner = owner;
    }

    /**
     * Wraps the beginning of a segment, native or on the heap, in row-major order.
     *
     * @param segment at least as long as the elements need, of any alignment
     * @param shape the size of each dimension; none for a single element
     * @throws PanoptimException when the segment is too short or a size is negative
     */
    public static Tensor of(MemorySegment segment, DType dtype, long... shape) {
        return of(segment, dtype, shape.clone(), rowMajor(shape));
    }

    /**
     * Wraps the beginning of a segment with given strides.
     *
     * @param strides for each dimension the distance of neighbours, in elements
     * @throws PanoptimException when the segment is too short or the layout is not dense
     */
    public static Tensor of(MemorySegment segment, DType dtype, long[] shape, long[] strides) {
        checkLayout(shape, strides);
        long bytes = elements(shape) * dtype.bytes();
        if (segment.byteSize() < bytes) {
            throw PanoptimException.invalid("Tensor.of", "a " + dtype + " tensor of shape " + Arrays.toString(shape)
                    + " needs " + bytes + " bytes, the segment has " + segment.byteSize());
        }
        MemorySegment slice = segment.asSlice(0, bytes);
        return new Tensor(dtype, Device.cpu(), shape.clone(), strides.clone(), slice.address(), slice, null);
    }

    /**
     * Wraps memory of a device other than the CPU, in row-major order.
     *
     * @param address of element 0, on that device
     * @param owner what keeps the memory alive as long as it is reachable
     */
    public static Tensor ofAddress(long address, Object owner, Device device, DType dtype, long... shape) {
        if (device.kind() == Device.Kind.CPU) {
            throw PanoptimException.invalid("Tensor.ofAddress", "the CPU's memory is wrapped as a MemorySegment");
        }
        Objects.requireNonNull(owner, "owner");
        long[] strides = rowMajor(shape);
        checkLayout(shape, strides);
        return new Tensor(dtype, device, shape.clone(), strides, address, null, owner);
    }

    /** A new vector or matrix of float32 values in an arena; row-major, one dimension when no shape is given. */
    public static Tensor of(Arena arena, float[] values, long... shape) {
        long[] dimensions = shape.length == 0 ? new long[] {values.length} : shape;
        if (elements(dimensions) != values.length) {
            throw PanoptimException.invalid("Tensor.of", values.length + " values do not fill the shape "
                    + Arrays.toString(shape));
        }
        Tensor tensor = zeros(arena, DType.FLOAT32, dimensions);
        for (int i = 0; i < values.length; i++) {
            tensor.set(i, values[i]);
        }
        return tensor;
    }

    /** A new row-major tensor of zeros in an arena, aligned to 64 bytes. */
    public static Tensor zeros(Arena arena, DType dtype, long... shape) {
        long[] strides = rowMajor(shape);
        checkLayout(shape, strides);
        long bytes = elements(shape) * dtype.bytes();
        return of(arena.allocate(bytes, 64), dtype, shape, strides);
    }

    /** Some of the elements as a tensor of their own, in row-major order: from {@code begin} on, counted in memory order. */
    public Tensor slice(long begin, long... newShape) {
        long[] newStrides = rowMajor(newShape);
        checkLayout(newShape, newStrides);
        long count = elements(newShape);
        if (begin < 0 || begin > elements - count) {
            throw PanoptimException.invalid("Tensor.slice", "a slice of shape " + Arrays.toString(newShape) + " from element " + begin
                    + " on is not within " + this);
        }
        long offset = begin * dtype.bytes();
        return new Tensor(dtype, device, newShape.clone(), newStrides, address + offset,
                segment == null ? null : segment.asSlice(offset, count * dtype.bytes()), owner);
    }

    public DType dtype() {
        return dtype;
    }

    public Device device() {
        return device;
    }

    /** The size of each dimension. */
    public long[] shape() {
        return shape.clone();
    }

    /** The distance of neighbours in each dimension, in elements. */
    public long[] strides() {
        return strides.clone();
    }

    /** The number of elements. */
    public long elements() {
        return elements;
    }

    public long bytes() {
        return elements * dtype.bytes();
    }

    /** The address of the first element in memory order, on the device; for a heap segment its offset. */
    public long address() {
        return address;
    }

    /** The memory of a tensor on the CPU. */
    public MemorySegment segment() {
        if (segment == null) {
            throw PanoptimException.invalid("Tensor.segment", "the tensor lies on " + device + ", not in the CPU's memory");
        }
        return segment;
    }

    /**
     * Refuses memory that is closed or another thread's. A device's memory is known to be closed where its owner is {@link Owned}.
     *
     * @param call for the message
     * @param label for the message: what the tensor is
     */
    public void checkAccessible(String call, Object label) {
        if (!isAlive()) {
            throw new PanoptimException(Code.CLOSED, call, label + " lies in " + (segment == null ? "memory" : "an arena") + " that was "
                    + "closed: keep it open as long as it is used");
        }
        if (segment != null && !segment.isAccessibleBy(Thread.currentThread())) {
            throw new PanoptimException(Code.CONCURRENT, call, label + " is confined to another thread: allocate it from a "
                    + "shared arena");
        }
    }

    /** Whether {@link #checkAccessible} refuses nothing. */
    public boolean isAccessible() {
        return isAlive() && (segment == null || segment.isAccessibleBy(Thread.currentThread()));
    }

    /** Whether its memory has not been freed, as far as its owner tells. */
    public boolean isAlive() {
        return segment == null ? !(owner instanceof Owned owned) || owned.isAlive() : segment.scope().isAlive();
    }

    /** An owner of a device's memory that can free it while tensors still refer to it. */
    public interface Owned {
        boolean isAlive();
    }

    /** What keeps a device's memory alive, or null. */
    public @Nullable Object owner() {
        return owner;
    }

    /** Element {@code index} in memory order, widened exactly; CPU only. */
    public double get(long index) {
        return dtype.get(segment(), index);
    }

    /** Sets element {@code index} in memory order, rounding once; CPU only. */
    public void set(long index, double value) {
        dtype.set(segment(), index, value);
    }

    public boolean sameShape(Tensor other) {
        return Arrays.equals(shape, other.shape);
    }

    /** Whether equal positions in memory are equal elements: same shape, and same strides where they matter. */
    public boolean sameLayout(Tensor other) {
        boolean same = sameShape(other);
        for (int i = 0; i < shape.length && same; i++) {
            same = shape[i] == 1 || strides[i] == other.strides[i];
        }
        return same;
    }

    /** Whether the last dimension's neighbours are neighbours in memory, and so on to the first. */
    public boolean isRowMajor() {
        long[] rowMajor = rowMajor(shape);
        return IntStream.range(0, shape.length).allMatch(i -> shape[i] == 1 || strides[i] == rowMajor[i]);
    }

    /** This tensor if its elements are in row-major order, or else a copy in which they are; CPU only. */
    public Tensor rowMajor(Arena arena) {
        if (isRowMajor()) {
            return this;
        }
        Tensor copy = zeros(arena, dtype, shape);
        int bytes = dtype.bytes();
        for (long i = 0; i < elements; i++) {
            long from = 0;
            long rest = i;
            for (int dimension = shape.length - 1; dimension >= 0; dimension--) {
                from += rest % shape[dimension] * strides[dimension];
                rest /= shape[dimension];
            }
            MemorySegment.copy(segment(), from * bytes, copy.segment(), i * bytes, bytes);
        }
        return copy;
    }

    /**
     * The first rows of a row-major tensor, where they lie: what is filled of a buffer for sparse gradients.
     *
     * @param rows at most the size of the first dimension
     */
    public Tensor firstRows(long rows) {
        if (shape.length == 0 || rows < 0 || rows > shape[0] || !isRowMajor()) {
            throw PanoptimException.invalid("Tensor.firstRows", "there are no " + rows + " rows at the beginning of " + this
                    + (isRowMajor() ? "" : ", which is not row-major"));
        }
        long[] newShape = shape.clone();
        newShape[0] = rows;
        long bytes = elements(newShape) * dtype.bytes();
        return new Tensor(dtype, device, newShape, rowMajor(newShape), address, segment == null ? null : segment.asSlice(0, bytes),
                owner);
    }

    /** The same elements with the dimensions in reverse order: of a matrix the transposed one. */
    public Tensor transposed() {
        return new Tensor(dtype, device, reversed(shape), reversed(strides), address, segment, owner);
    }

    private static long[] reversed(long[] values) {
        return IntStream.range(0, values.length).mapToLong(i -> values[values.length - 1 - i]).toArray();
    }

    /**
     * Some of this tensor's elements, where they lie, with the shape and layout of another tensor.
     *
     * @param first the first one, in memory order
     * @throws PanoptimException when there are not as many from there on
     */
    public Tensor part(long first, Tensor like) {
        if (first < 0 || first > elements || like.elements > elements - first) {
            throw PanoptimException.invalid("Tensor.part", this + " does not have " + like.elements + " elements from " + first + " on");
        }
        long offset = first * dtype.bytes();
        return new Tensor(dtype, device, like.shape, like.strides, address + offset,
                segment == null ? null : segment.asSlice(offset, like.elements * dtype.bytes()), owner);
    }

    /** For messages: {@code float32[2, 3]}. */
    @Override
    public String toString() {
        return dtype + Arrays.toString(shape);
    }

    private static long elements(long[] shape) {
        if (Arrays.stream(shape).anyMatch(size -> size == 0)) {
            return 0;
        }
        long product = 1;
        for (long size : shape) {
            if (Math.multiplyHigh(product, size) != 0 || (product *= size) > Long.MAX_VALUE / 8) {
                throw PanoptimException.invalid("Tensor.of", "a tensor of shape " + Arrays.toString(shape) + " has more bytes than "
                        + "can be addressed");
            }
        }
        return product;
    }

    private static long[] rowMajor(long[] shape) {
        long[] strides = new long[shape.length];
        long stride = 1;
        for (int i = shape.length - 1; i >= 0; i--) {
            strides[i] = stride;
            stride *= Math.max(1, shape[i]);
        }
        return strides;
    }

    private static void checkLayout(long[] shape, long[] strides) {
        if (shape.length != strides.length) {
            throw PanoptimException.invalid("Tensor.of", shape.length + " dimensions, but " + strides.length + " strides");
        }
        for (long size : shape) {
            if (size < 0) {
                throw PanoptimException.invalid("Tensor.of", "negative size in shape " + Arrays.toString(shape));
            }
        }
        int[] inner = IntStream.range(0, shape.length).filter(i -> shape[i] > 1).boxed()
                .sorted(Comparator.comparingLong(i -> strides[i])).mapToInt(i -> i).toArray();
        long dense = 1;
        for (int i : inner) {
            if (strides[i] != dense && elements(shape) > 0) {
                throw PanoptimException.invalid("Tensor.of", "strides " + Arrays.toString(strides) + " of shape "
                        + Arrays.toString(shape) + " leave gaps or overlap: only dense layouts can be updated in place");
            }
            dense *= shape[i];
        }
    }
}
