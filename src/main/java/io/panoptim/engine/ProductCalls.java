package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/** What prepared products, one or several, have in common, whatever the device: who may run them when. */
public abstract class ProductCalls implements AutoCloseable {
    /** Where refusals come from. */
    protected static final String CALL = "matmul";

    private final TableEngine engine;
    private final List<MatrixProduct> products;
    private final AtomicBoolean busy = new AtomicBoolean();
    private boolean closed;

    /**
     * @param acceptsHeap whether the engine can work on tensors on the Java heap
     */
    protected ProductCalls(TableEngine engine, List<MatrixProduct> products, boolean acceptsHeap) {
        this.engine = engine;
        this.products = products;
        Reach reach = new Reach(engine, acceptsHeap);
        for (MatrixProduct product : products) {
            product.operands().forEach(matrices -> reach.checkDevice(CALL, "" + matrices, matrices.device()));
        }
        checkAccessible();
        for (MatrixProduct product : products) {
            product.operands().forEach(matrices -> matrices.tensors().forEach(tensor -> reach.checkAddress(CALL, "" + matrices, tensor)));
        }
    }

    protected final List<MatrixProduct> products() {
        return products;
    }

    /** Refuses memory that is closed or another thread's. */
    protected final void checkAccessible() {
        for (MatrixProduct product : products) {
            product.operands().forEach(matrices -> matrices.tensors().forEach(tensor -> tensor.checkAccessible(CALL, matrices)));
        }
    }

    /** Takes the plan for a call on a stream, which {@link #leave} is to follow, or refuses. */
    protected final void enter(Stream stream) {
        engine.checkStream(CALL, stream);
        enter();
    }

    /** Takes the plan, likewise. */
    protected final void enter() {
        if (!busy.compareAndSet(false, true)) {
            throw new PanoptimException(Code.CONCURRENT, CALL, "another thread is running this plan: use one plan for each");
        }
        if (closed) {
            busy.set(false);
            checkOpen();
        }
    }

    protected final void leave() {
        busy.set(false);
    }

    /** Refuses when the plan is closed. */
    protected final void checkOpen() {
        if (closed) {
            throw new PanoptimException(Code.CLOSED, CALL, "the plan is closed");
        }
    }

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
