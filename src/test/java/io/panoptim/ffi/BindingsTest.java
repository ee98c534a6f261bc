package io.panoptim.ffi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.Command;
import io.panoptim.engine.cpu.BuiltLibrary;
import io.panoptim.engine.cpu.Isa;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The generated bindings are those of the header. */
class BindingsTest {
    private static final Path SUMS = Path.of("native/bindings.sha256");
    private static final Path BINDINGS = Path.of("src/main/java/io/panoptim/ffi");

    static List<String> sums() throws IOException {
        return Files.readAllLines(SUMS);
    }

    @ParameterizedTest
    @MethodSource("sums")
    void aHeaderIsTheOneThatTheBindingsWereGeneratedFrom(String sum) throws Exception {
        Path file = Path.of(sum.substring(66));
        String actual = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file)));
        assertEquals(sum.substring(0, 64), actual, file + " has changed since: run native/bindings.sh and commit what it writes");
    }

    @ParameterizedTest
    @MethodSource("io.panoptim.engine.cpu.Isa#ofArchitecture")
    void everyFieldLiesWhereTheLibraryHasIt(Isa isa) throws Exception {
        assertAgree(generatedLayouts(), reportedLayouts(api(isa)), "generated and reported offset");
    }

    @Test
    void jextractWritesTheBindingsThatAreCommitted(@TempDir Path output) throws Exception {
        String jextract = Command.required(Optional.ofNullable(System.getenv("JEXTRACT")).orElse("jextract"));
        Command.required(Optional.ofNullable(System.getenv("CC")).orElse("cc")); // for its include folder
        Command script = Command.run(Map.of("JEXTRACT", jextract), List.of("native/bindings.sh", output.toString()));
        assertEquals(0, script.status(), script.output());
        assertAgree(contents(BINDINGS), contents(output.resolve("io/panoptim/ffi")), "committed and generated: run native/bindings.sh");
    }

    /** Fails with what differs only, as there is much that does not. */
    private static <T> void assertAgree(Map<String, T> one, Map<String, T> other, String message) {
        assertFalse(one.isEmpty());
        Map<String, String> differences = new TreeMap<>();
        Stream.of(one, other).flatMap(map -> map.keySet().stream()).filter(key -> !Objects.equals(one.get(key), other.get(key)))
                .forEach(key -> differences.put(key, one.get(key) + " and " + other.get(key)));
        assertEquals(Map.of(), differences, message);
    }

    /** "structure.field" to offset, and "structure.sizeof" to size. */
    private static Map<String, Long> generatedLayouts() throws ReflectiveOperationException, IOException {
        Map<String, Long> fields = new TreeMap<>();
        for (String line : Files.readAllLines(Path.of("native/bindings.includes"))) {
            if (!line.startsWith("--include-struct ")) {
                continue;
            }
            String structure = line.substring("--include-struct ".length());
            GroupLayout layout = (GroupLayout) Class.forName(BindingsTest.class.getPackageName() + "." + structure)
                    .getMethod("layout").invoke(null);
            fields.put(structure + ".sizeof", layout.byteSize());
            layout.memberLayouts().stream().map(MemoryLayout::name).flatMap(Optional::stream) // padding has no name
                    .forEach(field -> fields.put(structure + "." + field, layout.byteOffset(PathElement.groupElement(field))));
        }
        return fields;
    }

    private static Map<String, Long> reportedLayouts(MemorySegment api) {
        long count = panoptim_api.field_count(api);
        MemorySegment fields = panoptim_field.reinterpret(panoptim_api.fields(api), count, Arena.global(), null);
        Map<String, Long> reported = new TreeMap<>();
        for (long i = 0; i < count; i++) {
            MemorySegment field = panoptim_field.asSlice(fields, i);
            reported.put(panoptim_field.structure(field).getString(0) + "." + panoptim_field.field(field).getString(0),
                    panoptim_field.offset(field));
        }
        return reported;
    }

    private static MemorySegment api(Isa isa) throws URISyntaxException {
        SymbolLookup symbols = SymbolLookup.libraryLookup(BuiltLibrary.of(isa), Arena.global());
        assumeTrue(panoptim_supported_function.invoke(symbols.findOrThrow("panoptim_supported")) == 1,
                "this processor does not run " + isa.id());
        return panoptim_get_api_function.invoke(symbols.findOrThrow("panoptim_get_api"), panoptim_h.PANOPTIM_ABI())
                .reinterpret(panoptim_api.sizeof());
    }

    private static Map<String, String> contents(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.collect(Collectors.toMap(file -> file.getFileName().toString(), BindingsTest::read));
        }
    }

    private static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
    }
}
