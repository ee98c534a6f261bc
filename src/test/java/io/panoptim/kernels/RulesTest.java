package io.panoptim.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Command;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What follows from the list of rules, and which lists are refused. */
class RulesTest {
    private static final Path RULES = Path.of("kernels/rules.txt");
    private static final FileTime LONG_AGO = FileTime.fromMillis(1_000_000_000_000L);
    private static final String README = """
            before
            <!-- rules: generated from kernels/rules.txt -->
            <!-- end of rules -->
            after
            """;

    /** Compiled once, since the build's {@code java kernels/GenerateRules.java} compiles it each time. */
    @TempDir
    private static Path compiled;

    @TempDir
    private Path target;

    @BeforeAll
    static void compile() {
        assertEquals(0, ToolProvider.getSystemJavaCompiler().run(null, null, null,
                "-d", compiled.toString(), "kernels/GenerateRules.java"));
    }

    static Stream<Arguments> badLines() {
        return Stream.of(
                Arguments.of("8 columns expected, found 7", "sgd | SGD | | lr | maximize | elementwise | bits"),
                Arguments.of("8 columns expected, found 9", "sgd | SGD | | lr | maximize | elementwise | bits | here | there"),
                Arguments.of("optional states come last", rule("sgd", "first? second", "lr", "maximize", "elementwise")),
                Arguments.of("more than 6 states", rule("sgd", words(7), "lr", "maximize", "elementwise")),
                Arguments.of("more than 16 scalars", rule("sgd", "", words(17), "maximize", "elementwise")),
                Arguments.of("more than 32 flags", rule("sgd", "", "lr", words(33), "elementwise")),
                Arguments.of("kind is elementwise, matrix, or tensor, row or global", rule("sgd", "", "lr", "maximize", "pointwise")),
                Arguments.of("kind is elementwise, matrix, or tensor, row or global", rule("sgd", "", "lr", "maximize", "tensor")),
                Arguments.of("there is no flag caution", rule("sgd", "", "lr", "maximize", "tensor if caution: value -> a -> b")),
                Arguments.of("what a reduction reads is one of [value, gradient, m]",
                        rule("sgd", "m", "lr", "maximize", "tensor: value n -> a -> b")),
                Arguments.of("more than 8 reduced values", rule("sgd", "m", "lr", "maximize", "tensor: m -> a -> " + words(9))),
                Arguments.of("a shared state is over what the rule reduces",
                        rule("sgd", "m d/tensor", "lr", "maximize", "global: m -> a -> b")),
                Arguments.of("states that elements share come last",
                        rule("sgd", "d/tensor m", "lr", "maximize", "tensor: m -> a -> b")),
                Arguments.of("a rule's name is lower case", rule("Sgd", "", "lr", "maximize", "elementwise")));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("badLines")
    void aBadLineIsRefusedWithTheReasonAndTheLine(String reason, String line) throws Exception {
        Path rules = Files.writeString(target.resolve("rules.txt"), "# a comment\n" + line + "\n");
        Command generator = generate(rules);
        assertNotEquals(0, generator.status());
        assertTrue(generator.output().contains("kernels/rules.txt: " + reason), generator.output());
        assertTrue(generator.output().contains(": " + line), generator.output());
        assertEquals(Set.of(rules), files(), "nothing is written");
    }

    @Test
    void theMostThatALineCanSayIsAccepted() throws Exception {
        Path rules = Files.writeString(target.resolve("rules.txt"), rule("two_words", words(6), words(16), words(32), "matrix") + "\n");
        assertGenerates(rules);
        assertTrue(Files.exists(target.resolve("generated-sources/rules/io/panoptim/engine/TwoWordsRow.java")));
    }

    @Test
    void sourcesThatNoLongerFollowAreRemoved() throws Exception {
        Path sources = target.resolve("generated-sources/rules/io/panoptim/engine");
        for (String name : List.of("sgd", "lion")) {
            assertGenerates(Files.writeString(target.resolve("rules.txt"), rule(name, "", "lr", "maximize", "elementwise") + "\n"));
        }
        assertEquals(Set.of("BuiltInRules.java", "LionRow.java", "BuiltInLoops.java"), files().stream()
                .filter(file -> file.startsWith(sources)).map(file -> file.getFileName().toString()).collect(Collectors.toSet()));
    }

    @Test
    void unchangedOutputsAreLeftUntouched() throws Exception {
        Files.writeString(target.resolve("README.md"), README);
        assertGenerates(RULES);
        Set<Path> outputs = files();
        assertTrue(outputs.size() > 3, outputs::toString);
        for (Path output : outputs) {
            Files.setLastModifiedTime(output, LONG_AGO);
        }
        assertGenerates(RULES);
        assertEquals(outputs, files());
        for (Path output : outputs) {
            assertEquals(LONG_AGO, Files.getLastModifiedTime(output), output + " was written again");
        }
    }

    @Test
    void theReadmeGetsATableBetweenItsMarkers() throws Exception {
        Path readme = Files.writeString(target.resolve("README.md"), README);
        Path rules = Files.writeString(target.resolve("rules.txt"),
                "lion | Lion, Tiger | exp_avg extra? | lr | maximize | elementwise | bits | lion.py\n");
        assertGenerates(rules);
        assertEquals("""
                before
                <!-- rules: generated from kernels/rules.txt -->
                | optimizers | states | bytes per float32 parameter | exactness | source |
                | --- | --- | --- | --- | --- |
                | Lion, Tiger | `exp_avg`, `extra` (optional) | 20 or 28 | bits | `lion.py` |
                <!-- end of rules -->
                after
                """, Files.readString(readme));
    }

    @Test
    void aReadmeWithoutMarkersIsRefused() throws Exception {
        Files.writeString(target.resolve("README.md"), "nothing\n");
        Command generator = generate(RULES);
        assertNotEquals(0, generator.status());
        assertTrue(generator.output().contains("README has no markers for the table of rules"), generator.output());
    }

    private void assertGenerates(Path rules) throws Exception {
        Command generator = generate(rules);
        assertEquals(0, generator.status(), generator.output());
    }

    private Command generate(Path rules) throws IOException, InterruptedException {
        return Command.run(Command.java(), "-XX:TieredStopAtLevel=1", "-cp", compiled.toString(),
                "GenerateRules", rules.toString(), target.toString(), target.resolve("README.md").toString());
    }

    private Set<Path> files() throws IOException {
        try (Stream<Path> files = Files.walk(target)) {
            return files.filter(Files::isRegularFile).collect(Collectors.toSet());
        }
    }

    private static String rule(String name, String states, String scalars, String flags, String kind) {
        return String.join(" | ", name, "SGD", states, scalars, flags, kind, "bits", "here");
    }

    private static String words(int count) {
        return IntStream.range(0, count).mapToObj(i -> "word" + i).collect(Collectors.joining(" "));
    }
}
