package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.tensor.Tensor;

/** A rule that takes sums before its update; shared states are given in the order of the list of rules. */
interface SummingLoop extends UpdateLoop {
    /** Computes what one element adds to each sum. */
    void terms(Arithmetic a, Scalars h, Elements e, long i, double[] terms);

    /**
     * Computes what follows from the sums.
     *
     * @param h the scalars, not rounded, and what followed from the last step's sums
     * @param columns how many elements each row has
     * @param sums for each row its sums
     * @param reduced to be set for each row
     */
    void finish(Scalars h, long columns, double[][] sums, Reduced reduced, Tensor[] shared);

    /** Computes what is needed before the sums are taken, where they are over all tensors. */
    default void prepare(Scalars h, Reduced reduced, Tensor[] shared) {}
}
