package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Where NVIDIA's libraries besides the driver are looked for: in folders that a property names, among the system's libraries, in
 * toolkits, and in Python's packages, with which PyTorch brings them along.
 *
 * @param name such as {@code libnvrtc.so.13}
 * @param version of the toolkit that it belongs to, such as 13
 * @param property that names folders
 * @param python the package that has it, such as {@code nvidia-cuda-nvrtc}
 */
record LibrarySearch(String name, int version, String property, String python) {
    /** Makes something of a file. */
    interface Loader<L> {
        /** Refuses with an {@link IllegalArgumentException} or a {@link PanoptimException}. */
        L load(Path file);
    }

    /**
     * Loads the first file that can be.
     *
     * @param tried receives one line for each place where there is none, with the reason
     */
    <L> Optional<L> find(List<String> tried, Loader<L> loader) {
        for (Path folder : folders(System.getProperty(property, ""))) {
            Optional<L> found = load(folder.resolve(name), "from -D" + property, tried, loader);
            if (found.isPresent()) {
                return found;
            }
        }
        try {
            SymbolLookup.libraryLookup(name, Arena.global());
            Optional<L> found = LoadedLibraries.file(name).flatMap(file -> load(file, "by its name", tried, loader));
            if (found.isPresent()) {
                return found;
            }
        } catch (IllegalArgumentException missing) {
            tried.add(name + ": not among the system's libraries");
        }
        for (Path folder : toolkits(version, System.getenv())) {
            Optional<L> found = load(folder.resolve(name), "a toolkit", tried, loader);
            if (found.isPresent()) {
                return found;
            }
        }
        return inPackages(tried, loader);
    }

    private <L> Optional<L> inPackages(List<String> tried, Loader<L> loader) {
        Set<Path> installations = installations(System.getenv(), System.getProperty("user.home"));
        List<Path> files = installations.stream().flatMap(home -> packages(home).stream()).map(folder -> folder.resolve(name))
                .filter(Files::isRegularFile).toList();
        for (Path file : files) {
            Optional<L> found = load(file, "a Python package", tried, loader);
            if (found.isPresent()) {
                return found;
            }
        }
        if (files.isEmpty()) {
            tried.add(name + ": not in Python's packages (" + python + ") in " + installations);
        }
        return Optional.empty();
    }

    private static <L> Optional<L> load(Path file, String place, List<String> tried, Loader<L> loader) {
        if (!Files.isRegularFile(file)) {
            tried.add(file + " (" + place + "): no such file");
            return Optional.empty();
        }
        try {
            return Optional.of(loader.load(file.toAbsolutePath()));
        } catch (IllegalArgumentException | PanoptimException refused) {
            tried.add(file + " (" + place + "): cannot be loaded: " + refused.getMessage());
            return Optional.empty();
        }
    }

    private static List<Path> folders(String property) {
        return property.isEmpty() ? List.of() : Arrays.stream(property.split(File.pathSeparator)).map(Path::of).toList();
    }

    static List<Path> toolkits(int version, Map<String, String> environment) {
        List<Path> folders = new ArrayList<>();
        for (String variable : new String[] {"CUDA_HOME", "CUDA_PATH"}) {
            addFolder(environment.get(variable), "lib64", folders);
        }
        folders.add(Path.of("/usr/local/cuda/lib64"));
        folders.add(Path.of("/usr/local/cuda-" + version, "lib64"));
        return folders;
    }

    private static void addFolder(@Nullable String home, String folder, List<Path> folders) {
        if (home != null && !home.isBlank()) {
            folders.add(Path.of(home, folder));
        }
    }

    /** Folders such as {@code /usr/lib}, in which there may be one of {@code python3.12}: active ones, that on PATH, and the usual. */
    static Set<Path> installations(Map<String, String> environment, String userHome) {
        List<Path> homes = new ArrayList<>();
        for (String variable : new String[] {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
            addFolder(environment.get(variable), "lib", homes);
        }
        Arrays.stream(environment.getOrDefault("PATH", "").split(File.pathSeparator)).filter(folder -> !folder.isEmpty()).map(Path::of)
                .filter(folder -> Files.isExecutable(folder.resolve("python3")) && folder.getParent() != null).findFirst()
                .ifPresent(folder -> homes.add(folder.getParent().resolve("lib")));
        addFolder(userHome, ".local/lib", homes);
        homes.add(Path.of("/usr/local/lib"));
        homes.add(Path.of("/usr/lib"));
        return new LinkedHashSet<>(homes);
    }

    /** The packages' folders: one for all since CUDA 13 ({@code nvidia/cu13}), before that one for each ({@code nvidia/cublas}). */
    static List<Path> packages(Path installation) {
        List<Path> found = List.of(installation);
        for (String name : new String[] {"python3*", "{site,dist}-packages", "nvidia", "cu*", "lib"}) {
            found = found.stream().flatMap(folder -> matching(folder, name)).toList();
        }
        return found;
    }

    private static Stream<Path> matching(Path folder, String glob) {
        List<Path> matching = new ArrayList<>();
        if (Files.isDirectory(folder)) {
            try (DirectoryStream<Path> entries = Files.newDirectoryStream(folder, glob)) {
                entries.forEach(matching::add);
            } catch (IOException unreadable) {
                return Stream.empty();
            }
        }
        return matching.stream().sorted();
    }
}
