package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.ffi.panoptim_api;
import io.panoptim.ffi.panoptim_blas;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * OpenBLAS, or another library with its interface, for matrix products, and oneDNN for those of bfloat16 on processors with
 * instructions for them: where {@value #FILE_PROPERTY} and {@value #ONEDNN_PROPERTY} say, on {@code java.library.path}, or in their
 * Maven artifacts. Loaded when the first product is planned (oneDNN: of bfloat16), for the life of the process; their own threads stay
 * asleep, since the engine's share the work.
 */
final class BlasLibrary {
    static final String FILE_PROPERTY = "panoptim.blas.file";
    static final String ONEDNN_PROPERTY = "panoptim.onednn.file";

    private static final String CALL = "matmul";
    private static final OptionalLibrary OPENBLAS = new OptionalLibrary("OpenBLAS", "org.bytedeco:openblas", FILE_PROPERTY,
            List.of("libquadmath.so.0", "libgfortran.so.5", "libopenblas.so.0"), List.of("libopenblas.so.0", "libopenblas.so"));
    private static final OptionalLibrary ONEDNN = new OptionalLibrary("oneDNN", "org.bytedeco:dnnl", ONEDNN_PROPERTY,
            List.of("libgomp.so.1", "libdnnl.so.3"), List.of("libdnnl.so.3", "libdnnl.so"));

    private static @Nullable BlasLibrary loaded;

    private final Path file;
    private final MemorySegment functions;
    private @Nullable Path onednn;
    /** Why there is no oneDNN; null before it was looked for, or where there is. */
    private @Nullable String withoutOnednn;

    BlasLibrary(Path file, MemorySegment functions) {
        this.file = file;
        this.functions = functions;
    }

    /** The library, or why there is none and what to do. */
    static synchronized BlasLibrary get(CpuLibrary engine) {
        if (loaded == null) {
            MemorySegment functions = panoptim_blas.allocate(Arena.global());
            panoptim_blas.size(functions, (int) panoptim_blas.sizeof());
            List<String> tried = new ArrayList<>();
            Path file = OPENBLAS.open((names, count) -> engine.check(CALL, panoptim_api.open_blas.invoke(
                    panoptim_api.open_blas(engine.api()), names, count, functions)), tried).orElseThrow(() -> new PanoptimException(
                    Code.UNAVAILABLE, CALL, "no BLAS library, by which the cpu engine multiplies matrices: "
                    + OPENBLAS.remedy() + ", or use the reference engine; tried: " + String.join("; ", tried)));
            loaded = new BlasLibrary(file, functions);
        }
        return loaded;
    }

    /** Why products of bfloat16 are made of float32 ones, if they are. */
    synchronized Optional<String> widensBfloat16(CpuLibrary engine) {
        if (onednn == null && withoutOnednn == null) {
            List<String> tried = new ArrayList<>();
            onednn = ONEDNN.open((names, count) -> engine.check(CALL, panoptim_api.open_onednn.invoke(
                    panoptim_api.open_onednn(engine.api()), names, count, functions)), tried).orElse(null);
            withoutOnednn = onednn != null ? null : "no oneDNN that multiplies bfloat16, which is widened to float32 instead: "
                    + ONEDNN.remedy() + "; tried: "
                    + String.join("; ", tried);
        }
        return Optional.ofNullable(withoutOnednn);
    }

    /** The {@code panoptim_blas}. */
    MemorySegment functions() {
        return functions;
    }

    /** Whether it can decompose matrices: it has all of LAPACK's functions that this takes. */
    boolean hasLapack() {
        return Stream.of(panoptim_blas.ssyevd(functions), panoptim_blas.dsyevd(functions), panoptim_blas.sgeqrf(functions),
                panoptim_blas.dgeqrf(functions), panoptim_blas.sorgqr(functions), panoptim_blas.dorgqr(functions))
                .noneMatch(MemorySegment.NULL::equals);
    }

    /** For people: what the library says of itself, and where it is. */
    String description() {
        MemorySegment config = panoptim_blas.config(functions);
        return (config.equals(MemorySegment.NULL) ? "BLAS" : config.reinterpret(Long.MAX_VALUE).getString(0).strip()) + ", " + file;
    }

    /** For people: what multiplies bfloat16, or why nothing does. */
    String bfloat16(CpuLibrary engine) {
        return widensBfloat16(engine).orElseGet(() -> "oneDNN, " + onednn);
    }
}
