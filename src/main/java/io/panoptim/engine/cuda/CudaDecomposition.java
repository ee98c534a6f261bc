package io.panoptim.engine.cuda;

import io.panoptim.engine.Decomposition;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.Stream;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;

/** A decomposition of matrices on a CUDA device, by an engine of the CPU's: they are copied there and back. */
final class CudaDecomposition {
    private final StreamCalls calls;
    private final Engine host;
    private final long stream;

    CudaDecomposition(StreamCalls calls, Engine host, long stream) {
        this.calls = calls;
        this.host = host;
        this.stream = stream;
    }

    /** Waits for what is before it on the stream, and for its own copies. */
    void run(Decomposition decomposition) {
        Matrices matrices = decomposition.matrices();
        if (matrices.isEmpty()) {
            return;
        }
        long first = matrices.offset();
        long elements = (matrices.count() - 1) * matrices.stride() + matrices.extent(); // with what lies between them
        try (Arena arena = Arena.ofShared()) {
            List<Tensor> copies = new ArrayList<>();
            for (Tensor tensor : matrices.tensors()) {
                Tensor copy = Tensor.zeros(arena, tensor.dtype(), elements);
                calls.copyToHost(copy.segment(), tensor.slice(first, elements).address(), copy.bytes(), stream);
                copies.add(copy);
            }
            calls.synchronize(stream);
            Tensor eigenvalues = decomposition.eigenvalues();
            Tensor found = eigenvalues == null ? null : Tensor.zeros(arena, eigenvalues.dtype(), eigenvalues.shape());
            host.decompose(new Decomposition(decomposition.kind(), new Matrices(copies, 0, matrices.count(), matrices.rows(),
                    matrices.columns(), matrices.leading(), matrices.stride()), found), Stream.DEFAULT);
            int given = 0;
            try {
                for (; given < copies.size(); given++) {
                    Tensor copy = copies.get(given);
                    calls.copyToDevice(matrices.tensors().get(given).slice(first, elements).address(), copy.segment(), copy.bytes(), stream);
                }
                if (eigenvalues != null && found != null) {
                    calls.copyToDevice(eigenvalues.address(), found.segment(), found.bytes(), stream);
                }
                calls.synchronize(stream);
            } catch (CudaException failed) {
                throw given == 0 ? failed : failed.halfWay();
            }
        }
    }
}
