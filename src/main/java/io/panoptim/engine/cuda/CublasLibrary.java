package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.ffi.cublas;
import io.panoptim.ffi.panoptim_cublas_get_property;
import io.panoptim.ffi.panoptim_cublas_get_status_name;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * NVIDIA's library for matrix products: a file of it, loaded for the life of the process, and its functions by their names. It can be
 * loaded without a GPU.
 */
final class CublasLibrary {
    static final String PATH_PROPERTY = "panoptim.cublas.path";
    /** Versions of the toolkit that it is looked for of, the newest first. */
    static final int[] VERSIONS = {13, 12};

    private static final Map<Path, CublasLibrary> LOADED = new ConcurrentHashMap<>();

    private final Path file;
    private final SymbolLookup symbols;
    private final MemorySegment getStatusName;
    private final String version;

    private CublasLibrary(Path file, SymbolLookup symbols) {
        this.file = file;
        this.symbols = symbols;
        this.getStatusName = function(file, symbols, "cublasGetStatusName");
        MemorySegment getProperty = function(file, symbols, "cublasGetProperty");
        this.version = property(getProperty, cublas.PANOPTIM_CUBLAS_MAJOR_VERSION()) + "."
                + property(getProperty, cublas.PANOPTIM_CUBLAS_MINOR_VERSION()) + "."
                + property(getProperty, cublas.PANOPTIM_CUBLAS_PATCH_LEVEL());
    }

    /**
     * Finds the library of one version of the toolkit.
     *
     * @param tried receives one line for each place where it is not, with the reason
     */
    static Optional<CublasLibrary> find(int version, List<String> tried) {
        return new LibrarySearch("libcublas.so." + version, version, PATH_PROPERTY, "nvidia-cublas").find(tried,
                file -> LOADED.computeIfAbsent(file, path -> {
                    // What it needs comes first: from the same folder, where nobody would look for it on its own.
                    Path lightweight = path.resolveSibling("libcublasLt.so." + version);
                    if (Files.isRegularFile(lightweight)) {
                        SymbolLookup.libraryLookup(lightweight, Arena.global());
                    }
                    return new CublasLibrary(path, SymbolLookup.libraryLookup(path, Arena.global()));
                }));
    }

    Path file() {
        return file;
    }

    /** Such as {@code 13.1.1}. */
    String version() {
        return version;
    }

    MemorySegment function(String name) {
        return function(file, symbols, name);
    }

    private static MemorySegment function(Path file, SymbolLookup symbols, String name) {
        return symbols.find(name).orElseThrow(() -> new PanoptimException(Code.UNAVAILABLE, "cuBLAS", file + " has no " + name
                + ": cuBLAS of CUDA 12 or newer has it"));
    }

    private static int property(MemorySegment getProperty, int property) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(ValueLayout.JAVA_INT);
            panoptim_cublas_get_property.invoke(getProperty, property, value);
            return value.get(ValueLayout.JAVA_INT, 0);
        }
    }

    /** Its name of a status. */
    String statusName(int status) {
        return panoptim_cublas_get_status_name.invoke(getStatusName, status).reinterpret(Long.MAX_VALUE).getString(0);
    }

    @Override
    public String toString() {
        return "cuBLAS " + version + ", " + file;
    }
}
