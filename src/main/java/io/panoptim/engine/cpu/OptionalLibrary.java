package io.panoptim.engine.cpu;

import io.panoptim.PanoptimException;
import io.panoptim.engine.NativeResource;
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

/**
 * A native library that need not be there: the file that a property names, or else on {@code java.library.path}, or in its Maven
 * artifact.
 *
 * @param name for people
 * @param artifact the artifact's coordinates, without its version
 * @param fileProperty the property
 * @param files in the artifact: what the library depends on, in order, then itself
 * @param systemFiles its names on {@code java.library.path}
 */
record OptionalLibrary(String name, String artifact, String fileProperty, List<String> files, List<String> systemFiles) {
    /** Opens files in order, of which the last one is the library; refuses it as the native library does. */
    interface Opener {
        void open(MemorySegment names, int count);
    }

    /** What to do if there is none. */
    String remedy() {
        return "add " + artifact + " with the classifier " + platform() + " to the class path, install " + name
                + " and name its file with -D" + fileProperty;
    }

    /**
     * Opens the first one that can be opened.
     *
     * @param tried takes why others cannot
     * @return its file
     */
    Optional<Path> open(Opener opener, List<String> tried) {
        String named = System.getProperty(fileProperty);
        if (named != null) { // and no other, whether it can be loaded or not
            return open(List.of(Path.of(named).toAbsolutePath()), opener, tried);
        }
        for (String folder : System.getProperty("java.library.path", "").split(File.pathSeparator)) {
            for (String name : systemFiles) {
                Path file = Path.of(folder).resolve(name).toAbsolutePath();
                if (Files.isRegularFile(file)) {
                    Optional<Path> opened = open(List.of(file), opener, tried);
                    if (opened.isPresent()) {
                        return opened;
                    }
                }
            }
        }
        tried.add(String.join(" and ", systemFiles) + " on java.library.path: no such file that can be loaded");
        return unpacked(tried).flatMap(unpacked -> open(unpacked, opener, tried));
    }

    /** The artifact's files. */
    private Optional<List<Path>> unpacked(List<String> tried) {
        List<Path> unpacked = new ArrayList<>();
        for (String name : files) {
            String resource = "/" + artifact.replace('.', '/').replace(':', '/') + "/" + platform() + "/" + name;
            URL url = OptionalLibrary.class.getResource(resource);
            if (url != null) {
                try {
                    unpacked.add(NativeResource.unpack(url, name));
                } catch (IOException failure) {
                    tried.add("resource " + resource + ": cannot be unpacked: " + failure);
                    return Optional.empty();
                }
            } else if (name.equals(files.getLast())) {
                tried.add("resource " + resource + ": not on the class path");
                return Optional.empty();
            } // some platforms do without the others
        }
        return Optional.of(unpacked);
    }

    /** As the artifacts call it. */
    private static String platform() {
        return LibraryLocator.platform().replace("aarch64", "arm64");
    }

    private static Optional<Path> open(List<Path> files, Opener opener, List<String> tried) {
        Path file = files.getLast();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment names = arena.allocate(panoptim_h.C_POINTER, files.size());
            for (int i = 0; i < files.size(); i++) {
                names.setAtIndex(panoptim_h.C_POINTER, i, arena.allocateFrom(files.get(i).toString()));
            }
            opener.open(names, files.size());
            return Optional.of(file);
        } catch (PanoptimException refused) {
            tried.add(file + ": " + refused.getMessage());
            return Optional.empty();
        }
    }
}
