package io.panoptim.engine.cuda;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** NVIDIA's libraries besides the driver, for people: where each is, or every place where it is not. */
public final class CudaLibraries {
    private CudaLibraries() {}

    /** NVRTC of each version. */
    public static Map<String, String> compilers() {
        Map<String, String> compilers = new LinkedHashMap<>();
        for (int version : Nvrtc.VERSIONS) {
            List<String> tried = new ArrayList<>();
            compilers.put("NVRTC " + version, Nvrtc.find(version, tried).map(found -> found.version() + ", " + found.file())
                    .orElseGet(() -> "not available: " + String.join("; ", tried)));
        }
        return compilers;
    }
}
