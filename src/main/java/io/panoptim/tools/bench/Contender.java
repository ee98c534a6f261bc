package io.panoptim.tools.bench;

/** One side of a comparison, with tensors of its own that hold the numbers of {@link Inputs}. */
public interface Contender extends AutoCloseable {
    /** What it is, with its version and the number of threads. */
    String description();

    /** Takes steps, and returns how many seconds they took in all. What is not part of a step is not timed. */
    double steps(int count);

    /** The sum of all values' absolute values after the steps so far, to be compared with the others'. */
    double checksum();

    @Override
    void close();
}
