package io.panoptim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReadmeTest {
    private static final String CLASS_PATH = System.getProperty("java.class.path");

    @Test
    void theExampleCompilesAndPrintsWhatTheReadmeSays(@TempDir Path folder) throws Exception {
        compile(folder, "Example");
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        PrintStream before = System.out;
        try (URLClassLoader loader = new URLClassLoader(new URL[] {folder.toUri().toURL()})) {
            System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
            loader.loadClass("Example").getMethod("main", String[].class).invoke(null, (Object) new String[0]);
        } finally {
            System.setOut(before);
        }
        assertEquals(find("Example.java` prints `(.*?)`"), printed.toString(StandardCharsets.UTF_8).strip());
    }

    @Test
    void theParameterGroupsPrintWhatTheReadmeSays(@TempDir Path folder) throws Exception {
        compile(folder, "FineTuning");
        assertEquals(find("FineTuning.java` prints `(.*?)`"), java(folder, "FineTuning"));
    }

    @Test
    void theWholeTrainingStepPrintsWhatTheReadmeSays(@TempDir Path folder) throws Exception {
        compile(folder, "WholeStep");
        assertEquals(find("WholeStep.java` prints `(.*?)`"), java(folder, "WholeStep"));
    }

    @Test
    void aRuleOfOnesOwnPrintsWhatTheReadmeSays(@TempDir Path folder) throws Exception {
        compile(folder, "Tiger");
        assertEquals(find("Tiger.java` prints `(.*?)`"), java(folder, "Tiger"));
    }

    @Test
    void aRuleOfOnesOwnInCppPrintsTheSame(@TempDir Path folder) throws Exception {
        TestEngines.cpu();
        Command.required("g++");
        compile(folder, "Tiger");
        Files.writeString(folder.resolve("tiger.h"), find("```cpp\n(.*?)```"));
        assertEquals("", run(find("\n    (g\\+\\+ [^\n]*)").replaceAll("(?:lib)?tiger\\.", folder + "/$0").split(" ")));
        assertEquals(find("Tiger.java` prints `(.*?) on reference`") + " on cpu",
                java(folder, "Tiger", folder.resolve("libtiger.so").toString()));
    }

    @Test
    void thePerformanceIsThatOfTheNewestReport() throws IOException {
        Path newest;
        try (Stream<Path> reports = Files.list(Path.of("bench/results"))) {
            newest = reports.filter(report -> report.getFileName().toString().endsWith("-steps")).max(Comparator.naturalOrder()).orElseThrow();
        }
        Matcher summary = Pattern.compile("\n(\\| \\| torch-fused .*?)\n\n", Pattern.DOTALL).matcher(Files.readString(newest.resolve("report.md")));
        assertTrue(summary.find(), newest.toString());
        String readme = Files.readString(Path.of("README.md"));
        assertTrue(readme.contains(summary.group(1)), "expected in README.md, under Performance:\n" + summary.group(1));
        assertTrue(readme.contains("`" + newest + "/`"), "expected in README.md: " + newest);
    }

    private static void compile(Path folder, String name) throws IOException {
        Path source = Files.writeString(folder.resolve(name + ".java"),
                find("```java\n([^`]*public (?:final )?class " + name + "\\b.*?)```"));
        assertEquals(0, ToolProvider.getSystemJavaCompiler().run(null, null, null, "-Xlint:all", "-Werror", "-d", folder.toString(),
                "-cp", CLASS_PATH, source.toString()));
    }

    private static String java(Path folder, String... arguments) throws IOException, InterruptedException {
        return run(Stream.concat(Stream.of(Command.java(), "--enable-native-access=ALL-UNNAMED", "-cp",
                folder + File.pathSeparator + CLASS_PATH), Stream.of(arguments)).toArray(String[]::new));
    }

    private static String run(String... line) throws IOException, InterruptedException {
        Command command = Command.run(line);
        assertEquals(0, command.status(), command.output());
        return command.output().strip();
    }

    private static String find(String pattern) throws IOException {
        Matcher matcher = Pattern.compile(pattern, Pattern.DOTALL).matcher(Files.readString(Path.of("README.md")));
        assertEquals(true, matcher.find(), pattern);
        return matcher.group(1);
    }
}
