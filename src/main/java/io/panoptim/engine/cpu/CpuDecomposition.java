package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Decomposition;
import io.panoptim.engine.Decomposition.Kind;
import io.panoptim.engine.Matrices;
import io.panoptim.ffi.panoptim_decomposition;
import io.panoptim.ffi.panoptim_h;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/** A decomposition as the native library reads it. */
final class CpuDecomposition implements AutoCloseable {
    private final Decomposition decomposition;
    private final Arena arena = Arena.ofShared();
    private final List<GuardedCall> parts;

    CpuDecomposition(Decomposition decomposition) {
        this.decomposition = decomposition;
        Matrices matrices = decomposition.matrices();
        Tensor eigenvalues = decomposition.eigenvalues();
        MemorySegment addresses = arena.allocate(ValueLayout.JAVA_LONG, Math.max(1, matrices.batch()));
        MemorySegment values = arena.allocate(ValueLayout.JAVA_LONG, Math.max(1, matrices.batch()));
        for (long i = 0; i < matrices.batch(); i++) {
            addresses.setAtIndex(ValueLayout.JAVA_LONG, i, matrices.address(i));
            if (eigenvalues != null) {
                values.setAtIndex(ValueLayout.JAVA_LONG, i,
                        eigenvalues.address() + i * matrices.columns() * eigenvalues.dtype().bytes());
            }
        }
        parts = GuardedCall.cut(matrices.batch(), (matrix, each) -> {
            each.accept(matrices.tensor(matrix));
            each.accept(eigenvalues);
        }, (first, end) -> part(addresses, values, first, end));
    }

    private MemorySegment part(MemorySegment addresses, MemorySegment values, long begin, long end) {
        Matrices matrices = decomposition.matrices();
        MemorySegment part = panoptim_decomposition.allocate(arena);
        panoptim_decomposition.size(part, (int) panoptim_decomposition.sizeof());
        panoptim_decomposition.dtype(part, matrices.dtype().ordinal());
        panoptim_decomposition.kind(part, decomposition.kind() == Kind.EIGEN ? panoptim_h.PANOPTIM_EIGEN() : panoptim_h.PANOPTIM_QR());
        panoptim_decomposition.batch(part, end - begin);
        panoptim_decomposition.rows(part, matrices.rows());
        panoptim_decomposition.columns(part, matrices.columns());
        panoptim_decomposition.leading(part, matrices.leading());
        panoptim_decomposition.matrices(part, addresses.asSlice(begin * ValueLayout.JAVA_LONG.byteSize()));
        panoptim_decomposition.eigenvalues(part, values.asSlice(begin * ValueLayout.JAVA_LONG.byteSize()));
        return part;
    }

    /** The calls that it takes, in order. */
    List<GuardedCall> parts() {
        return parts;
    }

    /** Says that LAPACK has not reached a result; the matrices are overwritten by then. */
    void checkDone() {
        for (GuardedCall part : parts) {
            long failed = panoptim_decomposition.failed(part.subject());
            if (failed != 0) {
                throw new PanoptimException(Code.FAULT, "Engine.decompose", "LAPACK did not converge for matrix " + (failed - 1)
                        + " of a batch of " + decomposition.matrices());
            }
        }
    }

    @Override
    public void close() {
        arena.close();
    }
}
