package io.panoptim.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException.Code;
import io.panoptim.PanoptimException;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.NullSource;
import org.junit.jupiter.params.provider.ValueSource;

class IsaTest {
    private final String architecture = System.getProperty("os.arch");

    @AfterEach
    void restore() {
        System.setProperty("os.arch", architecture);
    }

    @ParameterizedTest
    @CsvSource(textBlock = """
            amd64,   x86-64-v4, x86-64-v4 x86-64-v3
            amd64,   x86-64-v3, x86-64-v3
            aarch64, aarch64,   aarch64
            """)
    void theCapLeavesTheTiersUpToIt(String machine, String cap, String left) {
        System.setProperty("os.arch", machine);
        assertEquals(left, ids(Isa.allowed(cap)));
    }

    @ParameterizedTest
    @NullSource
    @ValueSource(strings = {"", " "})
    void withoutACapAllTiersOfTheArchitectureAreTriedTheBestFirst(String none) {
        System.setProperty("os.arch", "amd64");
        assertEquals("x86-64-v4 x86-64-v3", ids(Isa.allowed(none)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"x86-64-v5", "X86-64-V3", "avx2", "aarch64"})
    void aTierThatThisArchitectureDoesNotHaveIsRefusedAndTheOthersAreNamed(String cap) {
        System.setProperty("os.arch", "amd64");
        PanoptimException refusal = assertThrows(PanoptimException.class, () -> Isa.allowed(cap));
        assertEquals(Code.INVALID, refusal.code());
        assertTrue(refusal.getMessage().startsWith("PANOPTIM_MAX_ISA: unknown tier '" + cap + "'"), refusal.getMessage());
        assertTrue(refusal.getMessage().contains("has [x86-64-v4, x86-64-v3]"), refusal.getMessage());
    }

    @Test
    void namesAreUnique() {
        assertEquals(Isa.values().length, Arrays.stream(Isa.values()).map(Isa::id).distinct().count());
    }

    private static String ids(List<Isa> isas) {
        return isas.stream().map(Isa::id).collect(Collectors.joining(" "));
    }
}
