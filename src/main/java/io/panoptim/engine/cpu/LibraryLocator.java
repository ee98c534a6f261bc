package io.panoptim.engine.cpu;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

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
            return Optional.of(url.getProtocol().equals("file") ? Path.of(URI.create(url.toString())) : unpack(url, fileName));
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

    private static Path unpack(URL url, String fileName) throws IOException {
        byte[] content;
        try (InputStream in = url.openStream()) {
            content = in.readAllBytes();
        }
        Path folder = cache().resolve(sha256(content).substring(0, 16));
        Path file = folder.resolve(fileName);
        Set<PosixFilePermission> owners = PosixFilePermissions.fromString("rwx------");
        Files.createDirectories(folder, PosixFilePermissions.asFileAttribute(owners));
        Files.setPosixFilePermissions(folder, owners); // fails for a folder that somebody else has put there
        if (Files.isRegularFile(file) && Arrays.equals(Files.readAllBytes(file), content)) {
            return file;
        }
        Path part = Files.createTempFile(folder, fileName, ".part");
        try {
            Files.write(part, content);
            return Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(part);
        }
    }

    private static Path cache() {
        String xdg = System.getenv("XDG_CACHE_HOME");
        Path base = xdg == null || xdg.isBlank() ? Path.of(System.getProperty("user.home"), ".cache") : Path.of(xdg);
        return base.resolve("panoptim");
    }

    private static String sha256(byte[] content) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
        } catch (NoSuchAlgorithmException impossible) {
            throw new AssertionError(impossible);
        }
    }
}
