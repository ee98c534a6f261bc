package io.panoptim.tools.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.panoptim.Refusals;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.tools.Tool;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@Tag("native")
class BenchCommandTest {
    private static final Setting SETTING = new Setting(1, "python3");
    private static final Workload TINY = new Workload("tiny", "three tensors", Workload.Rule.ADAM,
            List.of(new long[] {1000}, new long[] {3, 5}, new long[] {7}), Workload.Extent.STEP);

    @TempDir
    private Path folder;

    @BeforeEach
    void needsTheCpuEngine() {
        TestEngines.cpu();
    }

    /** Another contender of this library, whose results can be falsified. */
    private record Other(double factor) implements ContenderProvider {
        @Override
        public String name() {
            return "other";
        }

        @Override
        public Optional<String> unavailable(Setting setting) {
            return Optional.empty();
        }

        @Override
        public boolean supports(Workload workload) {
            return true;
        }

        @Override
        public Contender open(Workload workload, Setting setting) {
            Contender own = new Panoptim.Provider().open(workload, setting);
            return new Contender() {
                @Override
                public String description() {
                    return "another one";
                }

                @Override
                public double steps(int count) {
                    return 3 * own.steps(count);
                }

                @Override
                public double checksum() {
                    return factor * own.checksum();
                }

                @Override
                public void close() {
                    own.close();
                }
            };
        }
    }

    @Test
    void contendersTakeTurnsAndTheirResultsAreCompared() {
        try (Comparison comparison = new Comparison(TINY, List.of(new Panoptim.Provider(), new Other(1)), SETTING)) {
            int[] rounds = {0};
            List<Comparison.Times> times = comparison.run(5, () -> rounds[0]++);
            assertEquals(Comparison.reported(5), rounds[0]);
            assertEquals(5, times.get(0).seconds().length);
            assertTrue(times.get(1).ratioTo(times.get(0)) > 1, () -> "three times as long: " + times.get(1).ratioTo(times.get(0)));
        }
        try (Comparison comparison = new Comparison(TINY, List.of(new Panoptim.Provider(), new Other(1.01)), SETTING)) {
            Refusals.refused(Code.FAULT, "another one has computed something else than Panoptim", () -> comparison.run(1, () -> {}));
        }
    }

    @Test
    void everyWorkloadChangesTheValuesAndHasTheSameResultTwice() {
        for (Workload.Rule rule : Workload.Rule.values()) {
            for (Workload.Extent extent : Workload.Extent.values()) {
                Workload workload = new Workload("tiny", "tiny", rule, TINY.shapes(), extent);
                try (Contender a = new Panoptim.Provider().open(workload, SETTING); Contender b = new Panoptim.Provider().open(workload, SETTING)) {
                    double before = a.checksum();
                    a.steps(3);
                    b.steps(1);
                    b.steps(2);
                    assertEquals(a.checksum(), b.checksum());
                    assertNotEquals(before, a.checksum(), rule + " " + extent);
                }
            }
        }
    }

    @Test
    void inputsLieBetweenMinusAndPlusAHalfAndAreAllDifferent() {
        double[] values = IntStream.range(0, 10_000).mapToDouble(i -> Inputs.value(3, i)).toArray();
        assertTrue(IntStream.range(0, values.length).allMatch(i -> Math.abs(values[i]) <= 0.5 && Math.abs(values[i]) > Float.MIN_NORMAL));
        assertEquals(0, IntStream.range(0, values.length).mapToDouble(i -> values[i]).average().orElseThrow(), 0.02);
        assertTrue(IntStream.range(0, values.length).mapToDouble(i -> values[i]).distinct().count() > 9_990);
        assertFalse(Inputs.value(0, 1) == Inputs.gradient(0, 1));
    }

    @Test
    void writesATableAReportAndAChart() throws IOException {
        Path shapes = Files.writeString(folder.resolve("tiny.txt"), "# from nowhere\na\t1000\nb\t64x64\n\nc\t7\n");
        Path output = folder.resolve("out");
        Tool tool = Tool.run("bench", "--shapes", shapes.toString(), "--compare", "plain-loop", "--threads", "1", "--rounds", "2", "--output",
                output.toString());
        assertEquals(0, tool.status(), tool.toString());
        assertTrue(tool.out().contains("AdamW, the 3 tensors of tiny"), tool.out());
        assertTrue(tool.out().contains("GB/s"), tool.out());
        JsonNode report = new ObjectMapper().readTree(output.resolve("report.json").toFile());
        assertEquals(1000 + 4096 + 7, report.get("workloads").get(0).get("elements").asInt());
        assertTrue(report.get("machine").has("processor"));
        assertTrue(Files.readString(output.resolve("report.md")).contains("## AdamW, the 3 tensors of tiny"));
        assertTrue(tool.out().contains("report.png") || tool.out().contains("no chart") || report.get("missing").has("plain-loop"), tool.out());
    }

    @Test
    void whatIsMissingIsReported() {
        Tool tool = Tool.run("bench", "--workload", "small", "--compare", "torch-fused", "--python", "no-such-python", "--threads", "1",
                "--rounds", "1");
        assertEquals(0, tool.status(), tool.toString());
        assertTrue(tool.out().contains("torch-fused is missing: ") && tool.out().contains("name a Python that has torch by --python"), tool.out());
        String peer = new JvmPeer("absent", "Absent", Set.of()).unavailable(SETTING).orElseThrow();
        assertTrue(peer.contains("there is no ") && peer.contains("./mvnw -f bench/peers/pom.xml package"), peer);
    }

    @Test
    void mistakesAreRefusedInOneLine() throws IOException {
        refused("'teh' is none of [one, ", "--workload", "teh");
        refused("'jax' is none of [torch-fused, ", "--compare", "jax", "--workload", "small");
        refused("0: expected at least 1", "--rounds", "0");
        Path shapes = Files.writeString(folder.resolve("bad.txt"), "a\t10\nb\t3,4\n");
        refused("bad.txt, line 2: 'b\t3,4': expected a name, a tab and dimensions such as 768x2304", "--shapes", shapes.toString());
    }

    private static void refused(String words, String... arguments) {
        Tool tool = Tool.run(Stream.concat(Stream.of("bench"), Arrays.stream(arguments))
                .toArray(String[]::new));
        assertEquals(2, tool.status(), tool.toString());
        assertTrue(tool.err().contains(words), tool.err());
    }
}
