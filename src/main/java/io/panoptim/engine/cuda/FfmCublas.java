package io.panoptim.engine.cuda;

import io.panoptim.engine.cuda.CublasCall.Operand;
import io.panoptim.engine.cuda.CudaException.Problem;
import io.panoptim.ffi.cublas;
import io.panoptim.ffi.panoptim_cublas_create;
import io.panoptim.ffi.panoptim_cublas_destroy;
import io.panoptim.ffi.panoptim_cublas_gemm;
import io.panoptim.ffi.panoptim_cublas_gemm_batched;
import io.panoptim.ffi.panoptim_cublas_gemm_strided;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** cuBLAS through the Foreign Function & Memory API. */
final class FfmCublas extends Cublas {
    private static final int DEFAULT = cublas.PANOPTIM_CUBLAS_GEMM_DEFAULT();

    private final MemorySegment gemm;
    private final MemorySegment gemmStrided;
    private final MemorySegment gemmBatched;
    private final MemorySegment alpha = Arena.ofAuto().allocate(ValueLayout.JAVA_DOUBLE);
    private final MemorySegment beta = Arena.ofAuto().allocate(ValueLayout.JAVA_DOUBLE);

    private FfmCublas(CublasLibrary library, String device, MemorySegment handle) {
        super(library, device, handle);
        this.gemm = library.function("cublasGemmEx_64");
        this.gemmStrided = library.function("cublasGemmStridedBatchedEx_64");
        this.gemmBatched = library.function("cublasGemmBatchedEx_64");
    }

    static FfmCublas open(CublasLibrary library, String device) {
        return new FfmCublas(library, device, create(library, device));
    }

    /** A handle in the current context. */
    static MemorySegment create(CublasLibrary library, String device) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment handle = arena.allocate(ValueLayout.ADDRESS);
            check(library, device, Problem.NO_CUBLAS, "cublasCreate", panoptim_cublas_create.invoke(library.function("cublasCreate_v2"), handle));
            return handle.get(ValueLayout.ADDRESS, 0);
        }
    }

    @Override
    int multiply(CublasCall call, double alpha, double beta) {
        set(this.alpha, call, alpha);
        set(this.beta, call, beta);
        int transposeA = CublasCall.operation(call.transposeA());
        int transposeB = CublasCall.operation(call.transposeB());
        Operand a = call.a();
        Operand b = call.b();
        Operand c = call.c();
        MemorySegment atA = MemorySegment.ofAddress(a.address());
        MemorySegment atB = MemorySegment.ofAddress(b.address());
        MemorySegment atC = MemorySegment.ofAddress(c.address());
        return switch (call.kind()) {
            case SINGLE -> panoptim_cublas_gemm.invoke(gemm, handle(), transposeA, transposeB, call.m(), call.n(), call.k(), this.alpha,
                    atA, call.type(), a.leading(), atB, call.type(), b.leading(), this.beta, atC, call.type(), c.leading(), call.compute(),
                    DEFAULT);
            case STRIDED -> panoptim_cublas_gemm_strided.invoke(gemmStrided, handle(), transposeA, transposeB, call.m(), call.n(), call.k(),
                    this.alpha, atA, call.type(), a.leading(), a.stride(), atB, call.type(), b.leading(), b.stride(), this.beta, atC,
                    call.type(), c.leading(), c.stride(), call.batch(), call.compute(), DEFAULT);
            case POINTERS -> panoptim_cublas_gemm_batched.invoke(gemmBatched, handle(), transposeA, transposeB, call.m(), call.n(), call.k(),
                    this.alpha, atA, call.type(), a.leading(), atB, call.type(), b.leading(), this.beta, atC, call.type(), c.leading(),
                    call.batch(), call.compute(), DEFAULT);
        };
    }

    private static void set(MemorySegment scalar, CublasCall call, double value) {
        if (call.isWide()) {
            scalar.set(ValueLayout.JAVA_DOUBLE, 0, value);
        } else {
            scalar.set(ValueLayout.JAVA_FLOAT, 0, (float) value);
        }
    }

    @Override
    void close() {
        panoptim_cublas_destroy.invoke(library().function("cublasDestroy_v2"), handle());
    }
}
