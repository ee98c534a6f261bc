package io.panoptim.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Command;
import io.panoptim.PanoptimException.Code;
import io.panoptim.PanoptimException;
import io.panoptim.engine.Rule;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A library that is not this jar's is refused, not called. */
class CpuLibraryTest {
    /** Of another architecture, so that nothing else in this process has loaded it. */
    private static final Isa OTHER = Arrays.stream(Isa.values()).filter(isa -> !Isa.ofArchitecture().contains(isa))
            .findFirst().orElseThrow();

    @TempDir
    private Path folder;

    @BeforeEach
    void lookHere() {
        System.setProperty(LibraryLocator.PATH_PROPERTY, folder.toString());
    }

    @AfterEach
    void restore() {
        System.clearProperty(LibraryLocator.PATH_PROPERTY);
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = ';', textBlock = """
            other rules           ; HASH="0123"  ; version: it was built from other rules (0123) than this jar
            another ABI           ; ABI=1        ; version: its ABI is not 6, which this jar needs
            a lesser processor    ; SUPPORTED=0  ; processor: it lacks this tier's instructions
            an old system         ; SUPPORTED=-1 ; processor: it has this tier's instructions, but the operating system has not enabled them
            an unrelated library  ; UNRELATED    ; symbols: it has no panoptim_supported
            """)
    void aLibraryThatDoesNotFitIsRefused(String what, String definition, String reason) throws Exception {
        Path library = compile(definition);
        List<String> reasons = new ArrayList<>();
        assertEquals(Optional.empty(), CpuLibrary.load(OTHER, reasons));
        assertEquals(1, reasons.size());
        assertTrue(reasons.getFirst().startsWith(library + ": " + reason), reasons.getFirst());
    }

    @Test
    void aLibraryForAnotherProcessorIsRefused() throws Exception {
        byte[] content = Files.readAllBytes(Path.of(System.getProperty("java.home"), "lib", System.mapLibraryName("java")));
        content[18] ^= (byte) 0xff; // ELF's e_machine
        Path library = Files.write(folder.resolve(BuiltLibrary.fileName(OTHER)), content);
        PanoptimException refusal = assertThrows(PanoptimException.class, () -> CpuLibrary.best(List.of(OTHER)));
        assertEquals(Code.UNAVAILABLE, refusal.code());
        assertTrue(refusal.getMessage().startsWith("CPU engine: " + library + ": Cannot open library"), refusal.getMessage());
    }

    @Test
    void aMachineWithoutTiersIsToldSo() {
        PanoptimException refusal = assertThrows(PanoptimException.class, () -> CpuLibrary.best(List.of()));
        assertEquals(Code.UNAVAILABLE, refusal.code());
        assertTrue(refusal.getMessage().contains("no native library exists for " + LibraryLocator.platform()), refusal.getMessage());
    }

    private Path compile(String definition) throws Exception {
        String compiler = Command.required("gcc", "clang");
        Path source = Files.writeString(folder.resolve("library.c"), """
                #include "panoptim.h"
                #ifndef HASH
                #define HASH "%s"
                #endif
                #ifndef ABI
                #define ABI PANOPTIM_ABI
                #endif
                #ifndef SUPPORTED
                #define SUPPORTED 1
                #endif
                #ifndef UNRELATED
                static const panoptim_api api = {.size = sizeof api, .abi = ABI, .rules_hash = HASH};
                int32_t panoptim_supported(void) { return SUPPORTED; }
                const panoptim_api *panoptim_get_api(uint32_t abi) { return abi == ABI ? &api : 0; }
                #endif
                """.formatted(Rule.HASH));
        Path library = folder.resolve(BuiltLibrary.fileName(OTHER));
        Command command = Command.run(Stream.of(compiler, "-shared", "-fPIC", "-I", "native/include", "-I", "kernels", "-D", definition,
                source, "-o", library).map(Object::toString).toArray(String[]::new));
        assertEquals(0, command.status(), command.output());
        return library;
    }
}
