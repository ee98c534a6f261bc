package io.panoptim.engine.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Rule;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Compiling at run time, which needs NVRTC and no GPU: without it these tests are skipped, with every place tried. */
class NvrtcTest {
    private static final int ELF = 0x7f454c46;

    private static Nvrtc compiler() {
        List<String> tried = new ArrayList<>();
        for (int version : Nvrtc.VERSIONS) {
            Optional<Nvrtc> found = Nvrtc.find(version, tried);
            if (found.isPresent()) {
                return found.get();
            }
        }
        return abort(String.join("; ", tried));
    }

    private static void assumeSources() {
        assumeTrue(NvrtcTest.class.getResource("/META-INF/cuda/src/step.cu") != null, "the build found no nvcc: no sources in the jar");
    }

    private static boolean names(byte[] cubin, String kernel) {
        return new String(cubin, StandardCharsets.ISO_8859_1).contains(".text." + kernel + "\0");
    }

    static List<Rule> someRules() {
        return List.of(Rule.ADAM, Rule.PRODIGY);
    }

    @ParameterizedTest
    @MethodSource("someRules")
    void aRulesKernelsCompile(Rule rule) {
        assumeSources();
        byte[] cubin = KernelSources.compile(compiler(), "step.cu", KernelSources.definitions(CudaKernels.Source.STEP, rule), 90);
        assertEquals(ELF, ByteBuffer.wrap(cubin).getInt());
        IntStream.rangeClosed(rule.minSlots(), rule.states().size()).forEach(slots -> {
            assertTrue(names(cubin, "panoptim_step_" + rule.name() + "_float32_" + slots));
            assertTrue(names(cubin, "panoptim_step_" + rule.name() + "_float64_" + slots));
            assertEquals(rule.sums() != null, names(cubin, "panoptim_measure_" + rule.name() + "_float64_" + slots));
        });
        assertEquals(rule.sums() != null, names(cubin, "panoptim_finish_" + rule.name()));
        assertFalse(names(cubin, "panoptim_step_radam_float32_2"));
    }

    @ParameterizedTest
    @MethodSource("someRules")
    void aRulesStagedKernelsCompile(Rule rule) {
        assumeSources();
        byte[] cubin = KernelSources.compile(compiler(), "staged.cu", KernelSources.definitions(CudaKernels.Source.STAGED, rule), 90);
        IntStream.rangeClosed(rule.minSlots(), rule.states().size()).forEach(slots -> {
            assertTrue(names(cubin, "panoptim_staged_step_" + rule.name() + "_float32_" + slots));
            assertEquals(rule.sums() != null, names(cubin, "panoptim_staged_measure_" + rule.name() + "_float32_" + slots));
        });
    }

    @ParameterizedTest
    @CsvSource({"columns.cu, panoptim_map_float32", "columns.cu, panoptim_statistics_float64", "rows.cu, panoptim_rows_float32",
                "factored.cu, panoptim_factored_measure_float32",
                "control.cu, panoptim_control_measured"})
    void theOtherKernelsCompile(String file, String kernel) {
        assumeSources();
        assertTrue(names(KernelSources.compile(compiler(), file, List.of(), 80), kernel));
    }

    @Test
    void whatDoesNotCompileSaysWhy() {
        Nvrtc compiler = compiler();
        PanoptimException refused = assertThrows(PanoptimException.class,
                () -> compiler.compile("wrong.cu", "#include \"wrong.h\"\nint x = one;", Map.of("wrong.h", "// nothing"), List.of()));
        assertEquals(Code.UNAVAILABLE, refused.code());
        assertTrue(refused.getMessage().contains("NVRTC_ERROR_COMPILATION"), refused.getMessage());
        assertTrue(refused.getMessage().contains("wrong.cu(2): error: identifier \"one\" is undefined"), refused.getMessage());
    }

    @Test
    void everyPlaceTriedIsNamed(@TempDir Path folder) {
        String before = System.getProperty(Nvrtc.PATH_PROPERTY);
        System.setProperty(Nvrtc.PATH_PROPERTY, folder + ":/nowhere");
        try {
            List<String> tried = new ArrayList<>();
            assertEquals(Optional.empty(), Nvrtc.find(11, tried));
            assertEquals(folder + "/libnvrtc.so.11 (from -Dpanoptim.nvrtc.path): no such file", tried.getFirst());
            assertEquals("/nowhere/libnvrtc.so.11 (from -Dpanoptim.nvrtc.path): no such file", tried.get(1));
            assertEquals("libnvrtc.so.11: not among the system's libraries", tried.get(2));
            assertTrue(tried.contains("/usr/local/cuda-11/lib64/libnvrtc.so.11 (a toolkit): no such file"), tried.toString());
        } finally {
            if (before == null) {
                System.clearProperty(Nvrtc.PATH_PROPERTY);
            } else {
                System.setProperty(Nvrtc.PATH_PROPERTY, before);
            }
        }
    }

    @Test
    void whatWasCompiledBeforeIsNotCompiledAgain() {
        assumeSources();
        Nvrtc compiler = compiler();
        byte[] first = KernelSources.compile(compiler, "columns.cu", List.of(), 75);
        long start = System.nanoTime();
        assertArrayEquals(first, KernelSources.compile(compiler, "columns.cu", List.of(), 75));
        assertTrue(System.nanoTime() - start < 100_000_000L, "it took as long as compiling does");
    }
}
