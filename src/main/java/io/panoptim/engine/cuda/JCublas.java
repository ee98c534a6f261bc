package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.cuda.CublasCall.Operand;
import io.panoptim.engine.cuda.CudaException.Problem;
import io.panoptim.ffi.cublas;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;
import java.util.stream.LongStream;
import jcuda.Pointer;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasHandle;

/**
 * cuBLAS through JCuda's binding. Its functions without {@code _new} in their names are not in its native library (JCuda 12.6.0), and
 * those with it take a {@code cublasComputeType_t}.
 */
final class JCublas extends Cublas {
    /** Of the toolkit that JCuda's native library is linked with. */
    static final int VERSION = 12;

    private static final int DEFAULT = cublas.PANOPTIM_CUBLAS_GEMM_DEFAULT();

    /** JCuda's class cannot be touched again after a failure, so the first and only reason is kept. */
    private static final class Loaded {
        static final Optional<String> FAILURE = load();

        private static Optional<String> load() {
            try {
                return JCudaNative.of("JCublas2").touch(() -> {
                    JCublas2.initialize();
                    return Optional.empty();
                });
            } catch (PanoptimException missing) {
                return Optional.of(String.valueOf(missing.getMessage()));
            } catch (NoClassDefFoundError missing) {
                return Optional.of("org.jcuda:jcublas is not on the class path");
            }
        }
    }

    /** JCuda's handle tells its address to subclasses only. */
    private static final class Handle extends cublasHandle {
        MemorySegment address() {
            return MemorySegment.ofAddress(getNativePointer());
        }
    }

    private final Handle handle;
    private final float[] floats = new float[2];
    private final double[] doubles = new double[2];
    private final Pointer alphaFloat = Pointer.to(floats);
    private final Pointer betaFloat = alphaFloat.withByteOffset(Float.BYTES);
    private final Pointer alphaDouble = Pointer.to(doubles);
    private final Pointer betaDouble = alphaDouble.withByteOffset(Double.BYTES);

    private JCublas(CublasLibrary library, String device, Handle handle) {
        super(library, device, handle.address());
        this.handle = handle;
    }

    /** Why JCuda's binding cannot be loaded, given the library that it is linked with; empty when it can. */
    static Optional<String> unavailable() {
        return Loaded.FAILURE;
    }

    /** @param library found by its path, and so there when JCuda's asks for it by its name */
    static JCublas open(CublasLibrary library, String device) {
        unavailable().ifPresent(reason -> {
            throw new PanoptimException(Code.UNAVAILABLE, "JCublas2", reason);
        });
        Handle handle = new Handle();
        check(library, device, Problem.NO_CUBLAS, "cublasCreate", JCublas2.cublasCreate(handle));
        return new JCublas(library, device, handle);
    }

    @Override
    void checkSizes(List<CublasCall> calls) {
        long largest = calls.stream().flatMapToLong(call -> LongStream.of(call.m(), call.n(), call.k(), call.batch(), call.a().leading(),
                call.b().leading(), call.c().leading())).max().orElse(0);
        if (largest > Integer.MAX_VALUE) {
            throw PanoptimException.unsupported("matmul", "JCuda's binding of cuBLAS counts in 32 bits, and a side, a distance between rows "
                    + "or a number of matrices is " + largest + ": take -D" + PROPERTY + "=ffm");
        }
    }

    @Override
    int multiply(CublasCall call, double alpha, double beta) {
        floats[0] = (float) alpha;
        floats[1] = (float) beta;
        doubles[0] = alpha;
        doubles[1] = beta;
        Pointer atAlpha = call.isWide() ? alphaDouble : alphaFloat;
        Pointer atBeta = call.isWide() ? betaDouble : betaFloat;
        int transposeA = CublasCall.operation(call.transposeA());
        int transposeB = CublasCall.operation(call.transposeB());
        int m = (int) call.m();
        int n = (int) call.n();
        int k = (int) call.k();
        int batch = (int) call.batch();
        int ofA = (int) call.a().leading();
        int ofB = (int) call.b().leading();
        int ofC = (int) call.c().leading();
        int type = call.type();
        int compute = call.compute();
        return switch (call.kind()) {
            case SINGLE -> JCublas2.cublasGemmEx_new(handle, transposeA, transposeB, m, n, k, atAlpha, at(call.a()), type, ofA, at(call.b()),
                    type, ofB, atBeta, at(call.c()), type, ofC, compute, DEFAULT);
            case STRIDED -> JCublas2.cublasGemmStridedBatchedEx_new(handle, transposeA, transposeB, m, n, k, atAlpha, at(call.a()), type, ofA,
                    call.a().stride(), at(call.b()), type, ofB, call.b().stride(), atBeta, at(call.c()), type, ofC, call.c().stride(), batch,
                    compute, DEFAULT);
            case POINTERS -> JCublas2.cublasGemmBatchedEx_new(handle, transposeA, transposeB, m, n, k, atAlpha, at(call.a()), type, ofA,
                    at(call.b()), type, ofB, atBeta, at(call.c()), type, ofC, batch, compute, DEFAULT);
        };
    }

    private static Pointer at(Operand operand) {
        return new Pointer().withByteOffset(operand.address());
    }

    @Override
    void close() {
        JCublas2.cublasDestroy(handle);
    }
}
