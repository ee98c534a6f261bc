package io.panoptim.engine.cuda;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Stream;

/** Where the libraries lie that this process has loaded by name. */
final class LoadedLibraries {
    private static final Path MAPS = Path.of("/proc/self/maps");

    private LoadedLibraries() {}

    /** The file of a library such as {@code libcuda.so.1}, which may have a longer version in its name. */
    static Optional<Path> file(String library) {
        try (Stream<String> lines = Files.lines(MAPS)) {
            String stem = library.substring(0, library.indexOf(".so") + 3);
            return lines.filter(line -> line.indexOf('/') >= 0).map(line -> line.substring(line.indexOf('/')))
                    .filter(file -> file.substring(file.lastIndexOf('/') + 1).startsWith(stem)).findFirst().map(Path::of);
        } catch (IOException unreadable) {
            return Optional.empty();
        }
    }
}
