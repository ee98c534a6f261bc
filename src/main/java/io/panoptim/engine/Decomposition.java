package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A decomposition of each of some row-major matrices, in place, in their own type, float32 or float64.
 *
 * @param kind which
 * @param matrices what is decomposed, and where the result is
 * @param eigenvalues row-major, as many for each matrix as it has columns; null for {@link Kind#QR}
 */
public record Decomposition(Kind kind, Matrices matrices, @Nullable Tensor eigenvalues) {
    /** What a matrix becomes. */
    public enum Kind {
        /** Of a symmetric matrix, whose lower triangle is read: its eigenvectors, as columns; eigenvalues ascend. */
        EIGEN,
        /**
         * Of a matrix with no more columns than rows: the factor with orthonormal columns of A = Q R, by Householder's reflections, with
         * LAPACK's signs: a diagonal element of R has the sign opposite to what it is before its reflection.
         */
        QR
    }

    private static final String CALL = "Engine.decompose";

    /** Refuses shapes and types that do not go together. */
    public Decomposition {
        if (matrices.dtype() != DType.FLOAT32 && matrices.dtype() != DType.FLOAT64) {
            throw PanoptimException.unsupported(CALL, "matrices of " + matrices.dtype() + ": cast them to float32");
        }
        if (kind == Kind.EIGEN ? matrices.rows() != matrices.columns() : matrices.columns() > matrices.rows()) {
            throw PanoptimException.invalid(CALL, matrices + (kind == Kind.EIGEN ? " is not square" : " has more columns than rows"));
        }
        if ((eigenvalues != null) != (kind == Kind.EIGEN)) {
            throw PanoptimException.invalid(CALL, "eigenvalues are of symmetric matrices, and of these there are always some");
        }
        if (eigenvalues != null && (eigenvalues.dtype() != matrices.dtype() || !eigenvalues.isRowMajor()
                || eigenvalues.elements() != matrices.batch() * matrices.columns())) {
            throw PanoptimException.invalid(CALL, "the memory for eigenvalues is " + eigenvalues + ": expected "
                    + matrices.batch() * matrices.columns() + " elements of " + matrices.dtype());
        }
    }

    /** Eigenvectors and eigenvalues of symmetric matrices. */
    public static Decomposition eigen(Matrices matrices, Tensor eigenvalues) {
        return new Decomposition(Kind.EIGEN, matrices, eigenvalues);
    }

    /** Orthonormal factors. */
    public static Decomposition qr(Matrices matrices) {
        return new Decomposition(Kind.QR, matrices, null);
    }

    /** All that it works on. */
    public List<Tensor> tensors() {
        List<Tensor> tensors = new ArrayList<>(matrices.tensors());
        if (eigenvalues != null) {
            tensors.add(eigenvalues);
        }
        return tensors;
    }

    /**
     * Refuses memory that an engine cannot reach, or that is closed.
     *
     * @param acceptsHeap whether the engine can work on tensors on the Java heap
     */
    public void check(Engine engine, boolean acceptsHeap) {
        Reach reach = new Reach(engine, acceptsHeap);
        for (Tensor tensor : tensors()) {
            reach.checkDevice(CALL, "" + matrices, tensor.device());
            tensor.checkAccessible(CALL, "" + matrices);
            reach.checkAddress(CALL, "" + matrices, tensor);
        }
    }

    /** What is thrown of a matrix that has a NaN or an infinity. */
    public static PanoptimException notFinite(long matrix) {
        return PanoptimException.invalid(CALL, "matrix " + matrix + " has elements that are infinite or NaN");
    }
}
