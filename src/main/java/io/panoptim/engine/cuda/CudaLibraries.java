package io.panoptim.engine.cuda;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** NVIDIA's libraries besides the driver, and JCuda's binding of one, for people: where each is, or every place where it is not. */
public final class CudaLibraries {
    /** How the text of one begins that is not there; reasons follow, between semicolons. */
    public static final String MISSING = "not available: ";

    private CudaLibraries() {}

    /** By name and version. */
    public static Map<String, String> all() {
        Map<String, String> libraries = new LinkedHashMap<>();
        for (int version : Nvrtc.VERSIONS) {
            List<String> tried = new ArrayList<>();
            libraries.put("NVRTC " + version, text(Nvrtc.find(version, tried).map(found -> found.version() + ", " + found.file()), tried));
        }
        for (int version : CublasLibrary.VERSIONS) {
            List<String> tried = new ArrayList<>();
            libraries.put("cuBLAS " + version, text(CublasLibrary.find(version, tried).map(found -> found.version() + ", " + found.file()),
                    tried));
        }
        libraries.put("JCublas2", jcublas());
        return libraries;
    }

    private static String text(Optional<String> found, List<String> tried) {
        return found.orElseGet(() -> MISSING + String.join("; ", tried));
    }

    private static String jcublas() {
        Optional<CublasLibrary> library = CublasLibrary.find(JCublas.VERSION, new ArrayList<>());
        if (library.isEmpty()) {
            return MISSING + "it needs cuBLAS " + JCublas.VERSION;
        }
        Optional<String> failure = JCublas.unavailable();
        return failure.map(reason -> MISSING + reason).orElseGet(() -> "of JCuda, with " + library.get());
    }
}
