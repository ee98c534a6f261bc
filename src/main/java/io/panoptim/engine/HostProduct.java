package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/** What plans of matrix products on the CPU's memory have in common. */
public abstract class HostProduct implements MatrixProduct.Plan {
    private static final String CALL = "matmul";

    private final HostEngine engine;
    private final MatrixProduct product;
    private final AtomicBoolean busy = new AtomicBoolean();
    private boolean closed;

    /**
     * @param acceptsHeap whether the engine can work on tensors on the Java heap
     */
    protected HostProduct(HostEngine engine, MatrixProduct product, boolean acceptsHeap) {
        this.engine = engine;
        this.product = product;
        Reach reach = new Reach(engine, acceptsHeap);
        for (Matrices matrices : operands()) {
            reach.checkDevice(CALL, "" + matrices, matrices.device());
            matrices.tensors().forEach(tensor -> reach.checkAddress(CALL, "" + matrices, tensor));
        }
        if (product.d().tensors().stream().anyMatch(tensor -> tensor.segment().isReadOnly())) {
            throw PanoptimException.invalid(CALL, "the result " + product.d() + " lies in a read-only segment");
        }
        checkAccessible();
    }

    protected final MatrixProduct product() {
        return product;
    }

    /** A, B, C and D. */
    protected final List<Matrices> operands() {
        return List.of(product.a(), product.b(), product.c(), product.d());
    }

    /** Refuses memory that is closed or another thread's. */
    protected final void checkAccessible() {
        operands().forEach(matrices -> matrices.tensors().forEach(tensor -> tensor.checkAccessible(CALL, "" + matrices)));
    }

    @Override
    public final void run(double alpha, double beta, double gamma, Stream stream) {
        engine.checkStream(CALL, stream);
        if (!busy.compareAndSet(false, true)) {
            throw new PanoptimException(Code.CONCURRENT, CALL, "another thread is running this plan: use one plan for each");
        }
        try {
            if (closed) {
                throw new PanoptimException(Code.CLOSED, CALL, "the plan is closed");
            }
            multiply(alpha, beta, gamma);
        } finally {
            busy.set(false);
        }
    }

    /** Runs the product, while no other thread does. */
    protected abstract void multiply(double alpha, double beta, double gamma);

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
