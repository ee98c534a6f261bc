package io.panoptim.engine;

import io.panoptim.PanoptimException;

/** What plans of matrix products on the CPU's memory have in common. */
public abstract class HostProduct extends ProductPlan {
    /**
     * @param acceptsHeap whether the engine can work on tensors on the Java heap
     */
    protected HostProduct(HostEngine engine, MatrixProduct product, boolean acceptsHeap) {
        super(engine, product, acceptsHeap);
        checkWritable(product);
    }

    /** Refuses a result in memory that cannot be written to. */
    public static void checkWritable(MatrixProduct product) {
        if (product.d().tensors().stream().anyMatch(tensor -> tensor.segment().isReadOnly())) {
            throw PanoptimException.invalid(CALL, "the result " + product.d() + " lies in a read-only segment");
        }
    }

    @Override
    protected final void multiply(double alpha, double beta, double gamma, Stream stream) {
        multiply(alpha, beta, gamma);
    }

    /** Runs the product, while no other thread does. */
    protected abstract void multiply(double alpha, double beta, double gamma);
}
