package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import java.util.concurrent.atomic.AtomicBoolean;

/** What plans of matrix products have in common, whatever the device. */
public abstract class ProductPlan implements MatrixProduct.Plan {
    /** Where refusals come from. */
    protected static final String CALL = "matmul";

    private final TableEngine engine;
    private final MatrixProduct product;
    private final AtomicBoolean busy = new AtomicBoolean();
    private boolean closed;

    /**
     * @param acceptsHeap whether the engine can work on tensors on the Java heap
     */
    protected ProductPlan(TableEngine engine, MatrixProduct product, boolean acceptsHeap) {
        this.engine = engine;
        this.product = product;
        Reach reach = new Reach(engine, acceptsHeap);
        product.operands().forEach(matrices -> reach.checkDevice(CALL, "" + matrices, matrices.device()));
        checkAccessible();
        product.operands().forEach(matrices -> matrices.tensors().forEach(tensor -> reach.checkAddress(CALL, "" + matrices, tensor)));
    }

    protected final MatrixProduct product() {
        return product;
    }

    /** Refuses memory that is closed or another thread's. */
    protected final void checkAccessible() {
        product.operands().forEach(matrices -> matrices.tensors().forEach(tensor -> tensor.checkAccessible(CALL, "" + matrices)));
    }

    @Override
    public final void run(double alpha, double beta, double gamma, Stream stream) {
        engine.checkStream(CALL, stream);
        if (!busy.compareAndSet(false, true)) {
            throw new PanoptimException(Code.CONCURRENT, CALL, "another thread is running this plan: use one plan for each");
        }
        try {
            checkOpen();
            multiply(alpha, beta, gamma, stream);
        } finally {
            busy.set(false);
        }
    }

    /** Refuses when the plan is closed. */
    protected final void checkOpen() {
        if (closed) {
            throw new PanoptimException(Code.CLOSED, CALL, "the plan is closed");
        }
    }

    /** Runs the product, while no other thread does. */
    protected abstract void multiply(double alpha, double beta, double gamma, Stream stream);

    @Override
    public final void close() {
        if (!busy.compareAndSet(false, true)) {
            throw new PanoptimException(Code.CONCURRENT, CALL, "the plan is running");
        }
        try {
            if (!closed) {
                closed = true;
                free();
            }
        } finally {
            busy.set(false);
        }
    }

    /** Frees what the engine attached; called once. */
    protected void free() {}
}
