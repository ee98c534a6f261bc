package io.panoptim.engine;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Set;
import java.util.function.Supplier;

/** Files that can be made again, in folders of {@code $XDG_CACHE_HOME/panoptim} that nobody else can write to. */
public final class PrivateCache {
    private static final int NAME = 16;

    private PrivateCache() {}

    /** The folder of a name, of which the beginning counts; made if it is not there. Refuses one that somebody else has put there. */
    public static Path folder(String name) throws IOException {
        Path folder = cache().resolve(name.substring(0, Math.min(NAME, name.length())));
        Set<PosixFilePermission> owners = PosixFilePermissions.fromString("rwx------");
        Files.createDirectories(folder, PosixFilePermissions.asFileAttribute(owners));
        Files.setPosixFilePermissions(folder, owners); // fails for somebody else's
        return folder;
    }

    /** What a file of such a folder has; made if it is not there. */
    public static byte[] file(Path folder, String fileName, Supplier<byte[]> content) throws IOException {
        Path file = folder.resolve(fileName);
        if (Files.isRegularFile(file)) {
            return Files.readAllBytes(file);
        }
        byte[] made = content.get();
        write(file, made);
        return made;
    }

    /** Writes a file, which others see whole or not at all. */
    public static Path write(Path file, byte[] content) throws IOException {
        Path part = Files.createTempFile(file.getParent(), file.getFileName().toString(), ".part");
        try {
            Files.write(part, content);
            return Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(part);
        }
    }

    /** In hexadecimal digits. */
    public static String sha256(byte[] content) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
        } catch (NoSuchAlgorithmException impossible) {
            throw new AssertionError(impossible);
        }
    }

    private static Path cache() {
        String xdg = System.getenv("XDG_CACHE_HOME");
        Path base = xdg == null || xdg.isBlank() ? Path.of(System.getProperty("user.home"), ".cache") : Path.of(xdg);
        return base.resolve("panoptim");
    }
}
