package io.panoptim.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Command;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LibraryLocatorTest {
    private static final String NAME = "libpanoptim-of-this-test.so";
    private static final byte[] CONTENT = "not really a library".getBytes();
    private static final FileTime LONG_AGO = FileTime.fromMillis(1_000_000_000_000L);

    private final String javaLibraryPath = System.getProperty("java.library.path");

    @TempDir
    private Path folder;

    @BeforeEach
    void noOtherFolders() {
        System.setProperty("java.library.path", "");
    }

    @AfterEach
    void restore() {
        System.setProperty("java.library.path", javaLibraryPath);
        System.clearProperty(LibraryLocator.PATH_PROPERTY);
    }

    @Test
    void theFolderThatTheUserNamesWins() throws IOException {
        Path named = Files.write(Files.createDirectory(folder.resolve("named")).resolve(NAME), CONTENT);
        Path second = Files.write(Files.createDirectory(folder.resolve("second")).resolve(NAME), CONTENT);
        Path other = Files.write(Files.createDirectory(folder.resolve("other")).resolve(NAME), CONTENT);
        System.setProperty("java.library.path", other.getParent().toString());
        assertEquals(Optional.of(other), LibraryLocator.find(NAME, new ArrayList<>()));
        System.setProperty(LibraryLocator.PATH_PROPERTY, named.getParent() + File.pathSeparator + second.getParent());
        assertEquals(Optional.of(named), LibraryLocator.find(NAME, new ArrayList<>()));
        Files.delete(named);
        assertEquals(Optional.of(second), LibraryLocator.find(NAME, new ArrayList<>()));
    }

    @Test
    void everyPlaceTriedIsListedWithTheReason() throws IOException {
        Files.createDirectory(folder.resolve(NAME)); // not a file
        System.setProperty(LibraryLocator.PATH_PROPERTY, "/nowhere" + File.pathSeparator + folder);
        System.setProperty("java.library.path", "/neither");
        List<String> tried = new ArrayList<>();
        assertEquals(Optional.empty(), LibraryLocator.find(NAME, tried));
        assertEquals(List.of(
                "/nowhere/" + NAME + " (from -Dpanoptim.library.path): no such file",
                folder.resolve(NAME) + " (from -Dpanoptim.library.path): no such file",
                "/neither/" + NAME + " (from -Djava.library.path): no such file",
                "resource /META-INF/native/" + LibraryLocator.platform() + "/" + NAME + ": not in this build (it is there when a C++ "
                        + "compiler and CMake were found by the build)"), tried);
    }

    @Test
    void aResourceThatIsAFileIsUsedInPlace() throws Exception {
        Isa isa = Isa.ofArchitecture().getLast();
        Path built = BuiltLibrary.of(isa);
        assertEquals(Optional.of(built), LibraryLocator.find(BuiltLibrary.fileName(isa), new ArrayList<>()));
    }

    @Test
    void fromAJarItIsUnpackedIntoAPrivateFolder() throws Exception {
        Path file = found(locate(Map.of("XDG_CACHE_HOME", folder.resolve("cache").toString())));
        assertArrayEquals(CONTENT, Files.readAllBytes(file));
        assertEquals(folder.resolve("cache/panoptim"), file.getParent().getParent());
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file.getParent())));
        try (Stream<Path> files = Files.list(file.getParent())) {
            assertEquals(List.of(file), files.toList(), "nothing half-written is left");
        }
    }

    @Test
    void withoutACacheOfTheUsersChoiceItGoesIntoTheHomeFolder() throws Exception {
        Path file = found(locate(Map.of("XDG_CACHE_HOME", ""), "-Duser.home=" + folder));
        assertEquals(folder.resolve(".cache/panoptim"), file.getParent().getParent());
    }

    @Test
    void whatWasUnpackedIsUsedAgainUnlessItsContentDiffers() throws Exception {
        Map<String, String> cache = Map.of("XDG_CACHE_HOME", folder.resolve("cache").toString());
        Path file = found(locate(cache));
        Files.setLastModifiedTime(file, LONG_AGO);
        assertEquals(file, found(locate(cache)));
        assertEquals(LONG_AGO, Files.getLastModifiedTime(file), "unpacked again");

        Path elsewhere = Files.write(folder.resolve("elsewhere"), "something hostile, by the same name".getBytes());
        Files.delete(file);
        Files.createSymbolicLink(file, elsewhere);
        assertEquals(file, found(locate(cache)));
        assertFalse(Files.isSymbolicLink(file));
        assertArrayEquals(CONTENT, Files.readAllBytes(file));
        assertEquals("something hostile, by the same name", Files.readString(elsewhere), "it is not written through a link");
    }

    @Test
    void aFolderThatCannotBeMadeIsAReason() throws Exception {
        Path cache = Files.createFile(folder.resolve("a-file"));
        String tried = locate(Map.of("XDG_CACHE_HOME", cache.toString()));
        assertTrue(tried.contains(NAME + ": cannot be unpacked: java.nio.file."), tried);
        assertTrue(tried.contains(cache.toString()), tried);
    }

    /** Runs the locator in a process whose class path begins with a jar that contains the library. */
    private String locate(Map<String, String> environment, String... options) throws IOException, InterruptedException {
        Path jar = folder.resolve("resource.jar");
        try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(jar))) {
            out.putNextEntry(new JarEntry("META-INF/native/" + LibraryLocator.platform() + "/" + NAME));
            out.write(CONTENT);
            out.closeEntry();
        }
        List<String> command = new ArrayList<>(List.of(Command.java(), "-Djava.library.path=",
                "-cp", jar + File.pathSeparator + System.getProperty("java.class.path")));
        command.addAll(List.of(options));
        command.addAll(List.of(LocatorMain.class.getName(), NAME));
        return Command.run(environment, command).output();
    }

    private static Path found(String output) {
        return output.lines().filter(line -> line.startsWith("found ")).map(line -> Path.of(line.substring(6))).findFirst()
                .orElseThrow(() -> new AssertionError(output));
    }
}
