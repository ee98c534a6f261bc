package io.panoptim.engine.cuda;

import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.ProductPlan;
import io.panoptim.engine.Stream;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** A matrix product on a CUDA device: calls of cuBLAS, and before or after them what it does not do. */
final class CudaProduct extends ProductPlan {
    private final CudaEngine engine;
    private final CudaMemory memory;
    private final List<CublasCall> calls;
    private final ProductLaunches launches;
    private final boolean wide;

    CudaProduct(CudaEngine engine, MatrixProduct product) {
        super(engine, product, false);
        this.engine = engine;
        this.memory = engine.memory("matrix products");
        this.wide = product.d().dtype() == DType.FLOAT64;
        try {
            this.calls = product.d().isEmpty() || product.inner() == 0 ? List.of()
                    : CublasCall.of(product, engine.context().gpu().multiprocessors(), this::upload);
            if (!calls.isEmpty()) {
                engine.cublas().checkSizes(calls);
            }
            this.launches = new ProductLaunches(engine, product, this::upload);
        } catch (RuntimeException refused) {
            memory.close();
            throw refused;
        }
    }

    /** A table of addresses, on the device as long as the plan. */
    private long upload(long[] addresses) {
        Tensor table = memory.zeros(DType.INT64, addresses.length);
        engine.copy(Tensor.of(MemorySegment.ofArray(addresses), DType.INT64, addresses.length), table, new Stream(engine.sideStream()));
        return table.address();
    }

    /** Refuses when the plan or the memory that it works on is closed. */
    void checkUsable() {
        checkOpen();
        checkAccessible();
    }

    @Override
    protected void multiply(double alpha, double beta, double gamma, Stream stream) {
        checkAccessible();
        if (!product().d().isEmpty()) {
            engine.run(this, wide ? alpha : (float) alpha, wide ? beta : (float) beta, wide ? gamma : (float) gamma, stream.handle());
        }
    }

    /** Gives the work to a stream, in the engine's context; with factors as they are rounded. */
    void launch(double alpha, double beta, double gamma, long stream) {
        CudaGraph graph = engine.capturing(stream);
        if (graph != null) {
            graph.add(this);
        }
        boolean inPlace = product().c().equals(product().d());
        if (alpha == 0 || calls.isEmpty()) {
            if (!inPlace || beta != 1) {
                launches.scale(beta, stream);
            }
        } else {
            if (!inPlace && beta != 0) {
                launches.scale(1, stream);
            }
            engine.cublas().run(calls, alpha, beta, stream, engine.workspace(stream), engine.workspaceBytes());
        }
        if (product().symmetric()) {
            launches.mirror(gamma, stream);
        } else if (gamma != 0) {
            launches.identity(gamma, stream);
        }
    }

    @Override
    protected void free() {
        memory.close();
    }
}
