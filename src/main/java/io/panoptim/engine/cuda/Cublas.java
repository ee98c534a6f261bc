package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.engine.cuda.CudaException.Problem;
import io.panoptim.ffi.cublas;
import io.panoptim.ffi.panoptim_cublas_set_math_mode;
import io.panoptim.ffi.panoptim_cublas_set_stream;
import io.panoptim.ffi.panoptim_cublas_set_workspace;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * cuBLAS on one device, through one of two bindings, which {@code -Dpanoptim.cublas} chooses: {@code ffm}, the Foreign Function & Memory
 * API, the default; or {@code jcublas2}, JCuda's, which takes cuBLAS of CUDA 12 alone, and no sides beyond 32 bits. Streams and workspaces
 * are set through the former always, as JCuda can wrap no stream of another library's.
 *
 * <p>Results are the same from run to run: each stream has a workspace of its own, atomic additions are off as cuBLAS has it, and
 * partial sums of half types stay in float32.
 */
abstract class Cublas {
    static final String PROPERTY = "panoptim.cublas";

    /** The bindings. */
    enum Binding {
        FFM, JCUBLAS2;

        /** The one that the property names, or the default. */
        static Binding chosen() {
            String name = System.getProperty(PROPERTY, FFM.name()).toUpperCase(Locale.ROOT);
            return List.of(values()).stream().filter(binding -> binding.name().equals(name)).findFirst()
                    .orElseThrow(() -> PanoptimException.invalid("cuBLAS", "-D" + PROPERTY + "=" + System.getProperty(PROPERTY)
                            + ": expected ffm or jcublas2"));
        }
    }

    private final CublasLibrary library;
    private final String device;
    private final MemorySegment handle;
    private final MemorySegment setStream;
    private final MemorySegment setWorkspace;

    /** @param handle what the library made in the current context */
    Cublas(CublasLibrary library, String device, MemorySegment handle) {
        this.library = library;
        this.device = device;
        this.handle = handle;
        this.setStream = library.function("cublasSetStream_v2");
        this.setWorkspace = library.function("cublasSetWorkspace_v2");
        check(library, device, Problem.NO_CUBLAS, "cublasSetMathMode", panoptim_cublas_set_math_mode.invoke(
                library.function("cublasSetMathMode"), handle, cublas.PANOPTIM_CUBLAS_DISALLOW_REDUCED_PRECISION_REDUCTION()));
    }

    /**
     * Opens the chosen binding in the current context.
     *
     * @param driver the major version of the CUDA that the driver is for
     * @throws CudaException listing every place tried, when there is none
     */
    static Cublas open(String device, int driver) {
        Binding binding = Binding.chosen();
        List<String> tried = new ArrayList<>();
        for (int version : CublasLibrary.VERSIONS) {
            if (version > driver) {
                tried.add("cuBLAS " + version + ": the driver is for CUDA " + driver);
            } else if (binding == Binding.JCUBLAS2 && version != JCublas.VERSION) {
                tried.add("cuBLAS " + version + ": JCuda's binding is for " + JCublas.VERSION + " alone");
            } else {
                Optional<CublasLibrary> found = CublasLibrary.find(version, tried);
                if (found.isPresent()) {
                    return binding == Binding.FFM ? FfmCublas.open(found.get(), device) : JCublas.open(found.get(), device);
                }
            }
        }
        throw CudaException.of(Problem.NO_CUBLAS, "matmul", "no cuBLAS, by which matrices are multiplied on " + device + ": install the CUDA "
                + "toolkit's or pip's nvidia-cublas, and name its folder with -D" + CublasLibrary.PATH_PROPERTY + "; tried: "
                + String.join("; ", tried));
    }

    /**
     * Gives products to a stream.
     *
     * @param workspace what they may use meanwhile, on the device
     */
    synchronized void run(List<CublasCall> calls, double alpha, double beta, long stream, long workspace, long workspaceBytes) {
        check("cublasSetStream", panoptim_cublas_set_stream.invoke(setStream, handle, MemorySegment.ofAddress(stream)));
        check("cublasSetWorkspace", panoptim_cublas_set_workspace.invoke(setWorkspace, handle, MemorySegment.ofAddress(workspace),
                workspaceBytes)); // which the stream has just been set back to cuBLAS's own
        for (CublasCall call : calls) {
            check(switch (call.kind()) {
                case SINGLE -> "cublasGemmEx";
                case STRIDED -> "cublasGemmStridedBatchedEx";
                case POINTERS -> "cublasGemmBatchedEx";
            }, multiply(call, alpha, beta));
        }
    }

    /** Makes one call; returns its status. */
    abstract int multiply(CublasCall call, double alpha, double beta);

    /** Frees the handle, in the context that it was made in. */
    abstract void close();

    private void check(String call, int status) {
        check(library, device, Problem.CUBLAS, call, status);
    }

    static void check(CublasLibrary library, String device, Problem problem, String call, int status) {
        if (status != cublas.PANOPTIM_CUBLAS_SUCCESS()) {
            throw CudaException.ofCublas(problem, status, library.statusName(status), call, device);
        }
    }

    CublasLibrary library() {
        return library;
    }

    MemorySegment handle() {
        return handle;
    }

    /** Refuses what the binding cannot count. */
    void checkSizes(List<CublasCall> calls) {}
}
