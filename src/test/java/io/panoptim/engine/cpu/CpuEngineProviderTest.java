package io.panoptim.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Command;
import io.panoptim.TestEngines;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a process with a certain environment gets. */
class CpuEngineProviderTest {
    @Test
    void theEnvironmentCapsTheTierAndSetsTheThreads() throws Exception {
        Isa lowest = TestEngines.tiers().getLast();
        Command process = run(Map.of("PANOPTIM_MAX_ISA", lowest.id(), "PANOPTIM_NUM_THREADS", "3"), System.getProperty("java.class.path"));
        assertTrue(process.output().endsWith("default: cpu\ncpu: " + lowest.id() + ", threads: 3\n"), process.output());
    }

    @Test
    void anUnknownTierInTheEnvironmentIsRefusedRatherThanAnotherEngineUsed() throws Exception {
        Command process = run(Map.of("PANOPTIM_MAX_ISA", "x86-64-v5"), System.getProperty("java.class.path"));
        assertTrue(process.output().startsWith("INVALID PANOPTIM_MAX_ISA: unknown tier 'x86-64-v5'"), process.output());
    }

    @Test
    void withoutALibraryTheReferenceEngineServesAndAWarningSaysWhy(@TempDir Path classes) throws Exception {
        Path built = Path.of(CpuEngine.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        // The same classes without META-INF/native.
        Path io = Files.createSymbolicLink(classes.resolve("io"), built.resolve("io"));
        Path services = Files.createSymbolicLink(Files.createDirectory(classes.resolve("META-INF")).resolve("services"),
                built.resolve("META-INF/services"));
        String output;
        try {
            output = run(Map.of(), System.getProperty("java.class.path").replace(built.toString(), classes.toString()),
                    "-Dpanoptim.library.path=/nowhere").output();
        } finally {
            Files.delete(io); // JUnit warns of links out of the folder
            Files.delete(services);
        }
        assertTrue(output.contains("default: reference\n"), output);
        assertTrue(output.contains("WARNING: using the reference engine"), output);
        assertTrue(output.contains("UNAVAILABLE Engines.named: the cpu engine cannot be had: "), output);
        // Both the warning and the refusal name every place.
        for (Isa isa : Isa.ofArchitecture()) {
            String file = BuiltLibrary.fileName(isa);
            assertEquals(2, count("/nowhere/" + file + " (from -Dpanoptim.library.path): no such file", output), output);
            assertEquals(2, count("/META-INF/native/" + LibraryLocator.platform() + "/" + file + ": not in this build", output), output);
        }
    }

    private static int count(String part, String text) {
        return text.split(Pattern.quote(part), -1).length - 1;
    }

    private static Command run(Map<String, String> environment, String classPath, String... options) throws Exception {
        Map<String, String> variables = new HashMap<>(Map.of("PANOPTIM_MAX_ISA", "", "PANOPTIM_NUM_THREADS", ""));
        variables.putAll(environment);
        List<String> command = new ArrayList<>(List.of(Command.java(), "--enable-native-access=ALL-UNNAMED", "-cp", classPath));
        command.addAll(List.of(options));
        command.add(EnginesMain.class.getName());
        return Command.run(variables, command);
    }
}
