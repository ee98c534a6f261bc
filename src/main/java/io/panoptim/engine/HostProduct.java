package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.tensor.Tensor;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/** What plans of matrix products on the CPU's memory have in common. */
public abstract class HostProduct implements MatrixProduct.Plan {
    private static final String CALL = "matmul";

    private final MatrixProduct product;
    private final AtomicBoolean busy = new AtomicBoolean();
    private boolean closed;

    /**
     * @param acceptsHeap whether the engine can work on tensors on the Java heap
     */
    protected HostProduct(Engine engine, MatrixProduct product, boolean acceptsHeap) {
        this.product = product;
        for (Matrices matrices : operands()) {
            if (!matrices.device().equals(engine.device())) {
                throw PanoptimException.invalid(CALL, matrices + " lies on " + matrices.device() + ", but the " + engine.name()
                        + " engine works on " + engine.device() + ": copy it there, or choose that device's engine");
            }
            for (Tensor tensor : matrices.tensors()) {
                if (!acceptsHeap && !tensor.segment().isNative()) {
                    throw PanoptimException.invalid(CALL, matrices + " lies on the Java heap, where the " + engine.name()
                            + " engine cannot reach it: allocate it from an Arena, or use the reference engine");
                }
                if (tensor.segment().isNative() && tensor.address() % tensor.dtype().bytes() != 0) {
                    throw PanoptimException.invalid(CALL, matrices + " begins at an address that is not a multiple of its element "
                            + "size, " + tensor.dtype().bytes() + " bytes: copy it to aligned memory");
                }
            }
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
        HostEngine.checkNoStream(CALL, stream);
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
