package io.panoptim.tensor;

/**
 * Where memory lies.
 *
 * @param kind the CPU's memory or a CUDA device's
 * @param index which device of that kind, from 0
 */
public record Device(Kind kind, int index) {
    private static final Device CPU = new Device(Kind.CPU, 0);

    /** The kinds of memory. */
    public enum Kind { CPU, CUDA }

    /** The memory that the CPU's engines work on. */
    public static Device cpu() {
        return CPU;
    }

    /** The memory of a CUDA device. */
    public static Device cuda(int index) {
        return new Device(Kind.CUDA, index);
    }

    /** torch's name: {@code cpu}, {@code cuda:0}. */
    @Override
    public String toString() {
        return kind == Kind.CPU ? "cpu" : "cuda:" + index;
    }
}
