package io.panoptim.engine.cpu;

import io.panoptim.engine.NativeResource;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * Finds the native library's file: where {@value #PATH_PROPERTY} says, on {@code java.library.path}, or among the
 * resources. From a jar it is unpacked into a private folder named after its content, and used again only if unchanged.
 */
final class LibraryLocator {
    static final String PATH_PROPERTY = "panoptim.library.path";

    private LibraryLocator() {}

    /**
     * Looks for a library.
     *
     * @param fileName such as {@code libpanoptim-x86-64-v3.so}
     * @param tried receives one line for each place where it is not, with the reason
     */
    static Optional<Path> find(String fileName, List<String> tried) {
        for (String property : List.of(PATH_PROPERTY, "java.library.path")) {
            String folders = System.getProperty(property, "");
            for (String folder : folders.isEmpty() ? new String[0] : folders.split(File.pathSeparator)) {
                Path file = Path.of(folder).resolve(fileName).toAbsolutePath();
                if (Files.isRegularFile(file)) {
                    return Optional.of(file);
                }
                tried.add(file + " (from -D" + property + "): no such file");
            }
        }
        String resource = "/META-INF/native/" + platform() + "/" + fileName;
        URL url = LibraryLocator.class.getResource(resource);
        if (url == null) {
            tried.add("resource " + resource + ": not in this build (it is there when a C++ compiler and CMake were found by "
                    + "the build)");
            return Optional.empty();
        }
        try {
            return Optional.of(url.getProtocol().equals("file") ? Path.of(URI.create(url.toString()))
                    : NativeResource.unpack(url, fileName));
        } catch (IOException failure) {
            tried.add("resource " + resource + ": cannot be unpacked: " + failure);
            return Optional.empty();
        }
    }

    /** The folder of this machine's natives, such as {@code linux-x86_64}. */
    static String platform() {
        String os = System.getProperty("os.name").toLowerCase(Locale.ROOT).replace(" ", "");
        String architecture = System.getProperty("os.arch");
        return os + "-" + (architecture.equals("amd64") ? "x86_64" : architecture);
    }
}
