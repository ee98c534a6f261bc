package io.panoptim.engine.cuda;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** Where the libraries lie that this process has loaded by name. */
final class LoadedLibraries {
    private static final Path MAPS = Path.of("/proc/self/maps");

    private LoadedLibraries() {}

    /** The file of a library such as {@code libcuda.so.1}, whose name may have more behind, or be that of the driver's version. */
    static Optional<Path> file(String library) {
        List<String> files;
        try (Stream<String> lines = Files.lines(MAPS)) {
            files = lines.filter(line -> line.indexOf('/') >= 0).map(line -> line.substring(line.indexOf('/'))).distinct().toList();
        } catch (IOException unreadable) {
            return Optional.empty();
        }
        String stem = library.substring(0, library.indexOf(".so") + 3);
        return Stream.of(library, stem).flatMap(name -> files.stream()
                .filter(file -> file.substring(file.lastIndexOf('/') + 1).startsWith(name))).findFirst().map(Path::of);
    }
}
