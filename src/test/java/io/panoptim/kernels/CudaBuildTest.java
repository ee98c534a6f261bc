package io.panoptim.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.Command;
import io.panoptim.engine.Rule;
import io.panoptim.engine.RuleSums;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What can be said of the CUDA kernels without a device: from their PTX, what ptxas reports, and what lies in the jar. */
class CudaBuildTest {
    private static final Path BUILD = Path.of("target/native");
    private static final Pattern COMPILING = Pattern.compile("ptxas info +: Compiling entry function '(\\w+)' for '(\\w+)'");
    private static final Pattern SPILLS = Pattern.compile(".* (\\d+) bytes spill stores, (\\d+) bytes spill loads");
    private static final Pattern REGISTERS = Pattern.compile("ptxas info +: Used (\\d+) registers.*");

    @Test
    void noKernelSpillsOrUsesMoreRegistersThanItsBlocksLeaveIt() throws IOException {
        assertFits("kernels/resources.txt", expectedKernels());
        assertFits("kernels/staged-resources.txt", expectedStagedKernels());
        assertFits("kernels/columns-resources.txt", Set.of("panoptim_map_float32", "panoptim_map_float64", "panoptim_reduce_float32",
                "panoptim_reduce_float64", "panoptim_finish_sum", "panoptim_finish_largest", "panoptim_statistics_float32",
                "panoptim_statistics_float64", "panoptim_finish_statistics"));
        assertFits("kernels/control-resources.txt", Ptx.parse(Files.readString(built("kernels/control.ptx"))).kernels().keySet());
        assertFits("kernels/products-resources.txt", Stream.of("scale", "identity", "mirror").flatMap(kernel -> Stream.of("float32", "float64",
                "bfloat16", "float16").map(type -> "panoptim_product_" + kernel + "_" + type)).collect(Collectors.toSet()));
        assertFits("kernels/factored-resources.txt", Stream.of("sums", "matrices", "measure", "apply").flatMap(kernel -> Stream.of("float32",
                "float64").map(type -> "panoptim_factored_" + kernel + "_" + type)).collect(Collectors.toSet()));
        assertFits("kernels/rows-resources.txt", Ptx.parse(Files.readString(built("kernels/rows.ptx"))).kernels().keySet());
    }

    /** What ptxas says of these kernels, and of no others, on each architecture. */
    private static void assertFits(String report, Set<String> expected) throws IOException {
        Map<String, Set<String>> kernels = new TreeMap<>(); // by architecture
        List<String> faults = new ArrayList<>();
        String kernel = "";
        String architecture = "";
        int reports = 0;
        for (String line : Files.readAllLines(built(report))) {
            Matcher compiling = COMPILING.matcher(line);
            Matcher spills = SPILLS.matcher(line);
            Matcher registers = REGISTERS.matcher(line);
            if (compiling.matches()) {
                kernel = compiling.group(1);
                architecture = compiling.group(2);
                kernels.computeIfAbsent(architecture, none -> new TreeSet<>()).add(kernel);
            } else if (spills.matches()) {
                reports++;
                if (!spills.group(1).equals("0") || !spills.group(2).equals("0")) {
                    faults.add(kernel + " for " + architecture + ":" + line);
                }
            } else if (registers.matches()) {
                reports++;
                if (Integer.parseInt(registers.group(1)) > registerLimit(kernel)) {
                    faults.add(kernel + " for " + architecture + ": " + line);
                }
            }
        }
        assertEquals(List.of(), faults);
        assertFalse(expected.isEmpty());
        assertFalse(kernels.isEmpty());
        kernels.forEach((each, found) -> assertEquals(expected, found, each));
        assertEquals(2 * kernels.size() * expected.size(), reports, "spills and registers of each kernel");
    }

    @Test
    void everyKernelsArithmeticIsRoundedAsWritten() throws IOException {
        Map<String, List<String>> kernels = new TreeMap<>(ptx().kernels());
        assertEquals(expectedKernels(), kernels.keySet());
        Map<String, List<String>> staged = Ptx.parse(Files.readString(built("kernels/staged.ptx"))).kernels();
        assertEquals(expectedStagedKernels(), staged.keySet());
        kernels.putAll(staged);
        Map<String, List<String>> faults = new TreeMap<>();
        kernels.forEach((kernel, lines) -> {
            boolean sums = Rule.all().stream().filter(rule -> rule.sums() != null)
                    .anyMatch(rule -> kernel.contains("_" + rule.name() + "_"));
            List<String> found = new ArrayList<>(Ptx.faults(kernel, sums, lines));
            String type = kernel.contains("float32") ? "f32" : "f64";
            if (kernel.contains("_step_") && lines.stream().noneMatch(line -> line.matches("(fma|mul)\\.rn\\." + type + " .*"))) {
                found.add("no product of " + type);
            }
            if (!found.isEmpty()) {
                faults.put(kernel, found);
            }
        });
        assertEquals(Map.of(), faults);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            float32 | fma.rn.f32 %f1, %f2, %f3, %f4;         | true
            float32 | @%p1 sqrt.rn.f32 %f1, %f2;             | true
            float32 | cvt.f32.f16 %f1, %rs1;                 | true
            float32 | cvt.rn.f16.f32 %rs1, %f1;              | true
            float32 | mad.lo.s32 %r1, %r2, %r3, %r4;         | true
            float64 | div.rn.f64 %fd1, %fd2, %fd3;           | true
            float32 | div.rn.f64 %fd1, %fd2, %fd3;           | false
            float32 | .reg .f64 %fd<3>;                      | false
            float32 | mul.f32 %f1, %f2, %f3;                 | false
            float32 | mad.rn.f32 %f1, %f2, %f3, %f4;         | false
            float32 | add.rn.ftz.f32 %f1, %f2, %f3;          | false
            float32 | setp.lt.ftz.f32 %p1, %f2, %f3;         | false
            float32 | @!%p2 div.full.f32 %f1, %f2, %f3;      | false
            float32 | sqrt.approx.f32 %f1, %f2;              | false
            float64 | rsqrt.approx.f64 %fd1, %fd2;           | false
            float64 | add.rz.f64 %fd1, %fd2, %fd3;           | false
            """)
    void anInexactInstructionIsFound(String kernel, String line, boolean exact) {
        String ptx = ".visible .entry panoptim_step_sgd_" + kernel + "_0(\n{\n\t" + line.replace(", ", ",\t") + "\n}\n";
        Ptx.parse(ptx).kernels().forEach((name, lines) -> assertEquals(exact, Ptx.faults(name, false, lines).isEmpty()));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            panoptim_step_lamb_float32_2    | cvt.rn.f32.f64 %f1, %fd1;    | true
            panoptim_step_lamb_float32_2    | add.rn.f64 %fd1, %fd2, %fd3; | false
            panoptim_measure_lamb_float32_2 | add.rn.f64 %fd1, %fd2, %fd3; | true
            panoptim_finish_lamb            | div.rn.f64 %fd1, %fd2, %fd3; | true
            panoptim_finish_lamb            | div.full.f32 %f1, %f2, %f3;  | false
            """)
    void onlySumsAreInDoublePrecision(String kernel, String line, boolean exact) {
        assertEquals(exact, Ptx.faults(kernel, true, List.of(line)).isEmpty());
    }

    @Test
    void aUsersRuleCompilesForCudaToo(@TempDir Path folder) throws Exception {
        String compiler = Command.required("nvcc");
        Path source = Files.writeString(folder.resolve("own.cu"), """
                #define PANOPTIM_ONLY PANOPTIM_KERNEL(own, Own, 2, float, float32) PANOPTIM_KERNEL(own, Own, 3, double, float64)
                #include "own.h"
                #include "step.cu"
                """);
        Path ptx = folder.resolve("own.ptx");
        Command command = Command.run(compiler, "-O3", "-std=c++17", "-fmad=false", "--Werror", "all-warnings", "-arch=compute_75", "-ptx",
                "-I", "kernels", "-I", "target/generated-include", "-I", "src/test/resources/io/panoptim/optim", source.toString(), "-o",
                ptx.toString());
        assertEquals(0, command.status(), command.output());
        Map<String, List<String>> kernels = Ptx.parse(Files.readString(ptx)).kernels();
        assertEquals(Set.of("panoptim_step_own_float32_2", "panoptim_step_own_float64_3"), kernels.keySet());
        kernels.forEach((kernel, lines) -> {
            assertEquals(List.of(), Ptx.faults(kernel, false, lines), kernel);
            assertTrue(lines.stream().anyMatch(line -> line.startsWith("fma.rn.")), kernel);
        });
    }

    @Test
    void theModuleCarriesTheHashOfTheRules() throws IOException {
        Matcher hash = Pattern.compile("panoptim_rules_hash\\[65\\] = \\{(.*)\\};").matcher(Files.readString(built("kernels/step.ptx")));
        assertTrue(hash.find());
        StringBuilder text = new StringBuilder();
        Stream.of(hash.group(1).split(", ")).limit(64).forEach(code -> text.append((char) Integer.parseInt(code)));
        assertEquals(Rule.HASH, text.toString());
    }

    @Test
    void theFatBinaryIsAResource() throws IOException {
        byte[] content = Files.readAllBytes(built("out/cuda/panoptim.fatbin"));
        assertEquals(0xBA55ED50, ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN).getInt());
        assertArrayEquals(content, resource("panoptim.fatbin"));
    }

    @Test
    void theSourcesForNvrtcAreResources() throws IOException {
        built("out/cuda/panoptim.fatbin"); // or the test is skipped
        Path root = Path.of("kernels");
        try (Stream<Path> files = Files.walk(root)) {
            for (Path source : files.filter(file -> file.toString().endsWith(".h") || file.toString().endsWith(".cu")).toList()) {
                assertArrayEquals(Files.readAllBytes(source), resource("src/" + root.relativize(source)), source.toString());
            }
        }
        String rules = new String(resource("src/panoptim_rules.h"), StandardCharsets.UTF_8);
        assertTrue(rules.contains("#define PANOPTIM_RULES_HASH \"" + Rule.HASH + "\""));
    }

    /**
     * Blocks of 256 threads: four on a multiprocessor, two where the columns in flight or the sums need the registers, and three
     * where three states come together with what follows from sums; two of those whose states lie in shared memory meanwhile.
     */
    private static int registerLimit(String kernel) {
        boolean step = kernel.startsWith("panoptim_step_");
        int slots = step ? Integer.parseInt(kernel.substring(kernel.lastIndexOf('_') + 1)) : 0;
        if (!step || takesSums(kernel, EnumSet.of(RuleSums.Over.ROW)) || kernel.contains("float64") || slots > 3) {
            return 128;
        }
        return takesSums(kernel, EnumSet.allOf(RuleSums.Over.class)) && slots > 2 ? 80 : 64;
    }

    private static boolean takesSums(String kernel, Set<RuleSums.Over> over) {
        return Rule.all().stream().anyMatch(rule -> rule.sums() != null && over.contains(rule.sums().over())
                && kernel.contains("_" + rule.name() + "_"));
    }

    private static Set<String> expectedKernels() {
        Set<String> kernels = new TreeSet<>();
        for (Rule rule : Rule.all()) {
            String name = rule.name();
            for (int slots = rule.minSlots(); slots <= rule.states().size(); slots++) {
                for (String type : List.of("float32", "float64")) {
                    kernels.add("panoptim_step_" + name + "_" + type + "_" + slots);
                    if (rule.sums() != null) {
                        kernels.add("panoptim_measure_" + name + "_" + type + "_" + slots);
                    }
                }
            }
            if (rule.sums() != null) {
                kernels.add("panoptim_finish_" + name);
            }
        }
        return kernels;
    }

    private static Set<String> expectedStagedKernels() {
        return expectedKernels().stream().filter(kernel -> kernel.contains("_float32_")).map(kernel -> kernel.replace("panoptim_", "panoptim_staged_"))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private static Ptx ptx() throws IOException {
        return Ptx.parse(Files.readString(built("kernels/step.ptx")));
    }

    /** A file of the build, which fails where there was a nvcc and the file is missing; without nvcc the test is skipped. */
    private static Path built(String file) throws IOException {
        Path configured = BUILD.resolve("configured");
        assumeTrue(Files.exists(configured), "no native build in " + BUILD);
        assumeTrue(Files.readString(configured).contains("-DCMAKE_CUDA_COMPILER="), "the build found no nvcc");
        return BUILD.resolve(file);
    }

    private static byte[] resource(String name) throws IOException {
        try (InputStream in = CudaBuildTest.class.getResourceAsStream("/META-INF/cuda/" + name)) {
            assertNotNull(in, "no resource /META-INF/cuda/" + name);
            return in.readAllBytes();
        }
    }
}
