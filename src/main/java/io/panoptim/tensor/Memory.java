package io.panoptim.tensor;

/** Memory that an engine allocates on its device and that one owner frees all at once. */
public interface Memory extends AutoCloseable {
    Device device();

    /** A new row-major tensor of zeros. */
    Tensor zeros(DType dtype, long... shape);

    /** A new tensor of zeros of the same type, shape and layout as another. */
    default Tensor zerosLike(Tensor tensor) {
        return zerosLike(tensor, tensor.dtype());
    }

    /** The same of another type. */
    Tensor zerosLike(Tensor tensor, DType dtype);

    /** Bytes allocated so far. */
    long bytes();

    /** Frees everything allocated here; does nothing the second time. */
    @Override
    void close();
}
