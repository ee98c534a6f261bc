package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.NativeResource;
import io.panoptim.ffi.panoptim_api;
import io.panoptim.ffi.panoptim_blas;
import io.panoptim.ffi.panoptim_h;
import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * OpenBLAS, or another library with its interface, for matrix products: where {@value #FILE_PROPERTY} says, on
 * {@code java.library.path}, or in OpenBLAS's Maven artifact. Loaded when the first product is planned, for the life of the process;
 * its own threads stay asleep, since the engine's share the work.
 *
 * @param file the library
 * @param functions the {@code panoptim_blas}
 */
record BlasLibrary(Path file, MemorySegment functions) {
    static final String FILE_PROPERTY = "panoptim.blas.file";

    /** In the artifact: what it depends on first. */
    private static final List<String> FILES = List.of("libquadmath.so.0", "libgfortran.so.5", "libopenblas.so.0");
    private static final List<String> SYSTEM_FILES = List.of("libopenblas.so.0", "libopenblas.so");
    private static final String ARTIFACT = "org.bytedeco:openblas";

    private static @Nullable BlasLibrary loaded;

    /** The library, or why there is none and what to do. */
    static synchronized BlasLibrary get(CpuLibrary engine) {
        if (loaded == null) {
            List<String> tried = new ArrayList<>();
            loaded = load(engine, tried).orElseThrow(() -> new PanoptimException(Code.UNAVAILABLE, "matmul", "no BLAS library, by "
                    + "which the cpu engine multiplies matrices: add " + ARTIFACT + " with the classifier "
                    + platform() + " to the class path, install OpenBLAS and name its file with -D" + FILE_PROPERTY
                    + ", or use the reference engine; tried: " + String.join("; ", tried)));
        }
        return loaded;
    }

    private static Optional<BlasLibrary> load(CpuLibrary engine, List<String> tried) {
        String named = System.getProperty(FILE_PROPERTY);
        if (named != null) { // and no other, whether it can be loaded or not
            return open(engine, List.of(Path.of(named).toAbsolutePath()), tried);
        }
        for (String folder : System.getProperty("java.library.path", "").split(File.pathSeparator)) {
            for (String name : SYSTEM_FILES) {
                Path file = Path.of(folder).resolve(name).toAbsolutePath();
                if (Files.isRegularFile(file)) {
                    Optional<BlasLibrary> library = open(engine, List.of(file), tried);
                    if (library.isPresent()) {
                        return library;
                    }
                }
            }
        }
        tried.add(String.join(" and ", SYSTEM_FILES) + " on java.library.path: no such file that can be loaded");
        return unpacked(tried).flatMap(files -> open(engine, files, tried));
    }

    /** The artifact's files. */
    private static Optional<List<Path>> unpacked(List<String> tried) {
        List<Path> files = new ArrayList<>();
        for (String name : FILES) {
            String resource = "/org/bytedeco/openblas/" + platform() + "/" + name;
            URL url = BlasLibrary.class.getResource(resource);
            if (url != null) {
                try {
                    files.add(NativeResource.unpack(url, name));
                } catch (IOException failure) {
                    tried.add("resource " + resource + ": cannot be unpacked: " + failure);
                    return Optional.empty();
                }
            } else if (name.equals(FILES.getLast())) {
                tried.add("resource " + resource + ": not on the class path");
                return Optional.empty();
            } // some platforms do without the others
        }
        return Optional.of(files);
    }

    /** As the artifact calls it. */
    private static String platform() {
        return LibraryLocator.platform().replace("aarch64", "arm64");
    }

    private static Optional<BlasLibrary> open(CpuLibrary engine, List<Path> files, List<String> tried) {
        Path file = files.getLast();
        MemorySegment functions = panoptim_blas.allocate(Arena.global());
        panoptim_blas.size(functions, (int) panoptim_blas.sizeof());
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment names = arena.allocate(panoptim_h.C_POINTER, files.size());
            for (int i = 0; i < files.size(); i++) {
                names.setAtIndex(panoptim_h.C_POINTER, i, arena.allocateFrom(files.get(i).toString()));
            }
            engine.check("matmul", panoptim_api.open_blas.invoke(panoptim_api.open_blas(engine.api()), names, files.size(),
                    functions));
            return Optional.of(new BlasLibrary(file, functions));
        } catch (PanoptimException refused) {
            tried.add(file + ": " + refused.getMessage());
            return Optional.empty();
        }
    }

    /** Whether it can decompose matrices. */
    boolean hasLapack() {
        return !panoptim_blas.ssyevd(functions).equals(MemorySegment.NULL) && !panoptim_blas.sorgqr(functions).equals(MemorySegment.NULL);
    }

    /** For people: what the library says of itself, and where it is. */
    String description() {
        MemorySegment config = panoptim_blas.config(functions);
        return (config.equals(MemorySegment.NULL) ? "BLAS" : config.reinterpret(Long.MAX_VALUE).getString(0).strip()) + ", " + file;
    }
}
