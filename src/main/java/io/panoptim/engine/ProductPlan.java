package io.panoptim.engine;

import java.util.List;

/** What plans of one matrix product have in common, whatever the device. */
public abstract class ProductPlan extends ProductCalls implements MatrixProduct.Plan {
    /**
     * @param acceptsHeap whether the engine can work on tensors on the Java heap
     */
    protected ProductPlan(TableEngine engine, MatrixProduct product, boolean acceptsHeap) {
        super(engine, List.of(product), acceptsHeap);
    }

    protected final MatrixProduct product() {
        return products().getFirst();
    }

    @Override
    public final void run(double alpha, double beta, double gamma, Stream stream) {
        enter(stream);
        try {
            multiply(alpha, beta, gamma, stream);
        } finally {
            leave();
        }
    }

    /** Runs the product, while no other thread does. */
    protected abstract void multiply(double alpha, double beta, double gamma, Stream stream);
}
