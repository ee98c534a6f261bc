package io.panoptim.engine.cuda;

import io.panoptim.engine.Stream;
import jcuda.driver.CUstream;

/** A stream of one's own on a CUDA device. It does not wait for the default stream, nor that one for it. */
public final class CudaStream implements AutoCloseable {
    private final CudaEngine engine;
    private final CUstream handle;
    private final Stream stream;
    private boolean closed;

    CudaStream(CudaEngine engine, CUstream handle, long address) {
        this.engine = engine;
        this.handle = handle;
        this.stream = new Stream(address);
    }

    /** What the engine's verbs take. */
    public Stream stream() {
        return stream;
    }

    /** Waits until all that has been given to the stream is done; throws what went wrong in it. */
    public void synchronize() {
        engine.synchronize(stream);
    }

    /** Destroys the stream once its work is done; idempotent. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            engine.destroy(handle);
        }
    }
}
