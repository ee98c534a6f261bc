package io.panoptim.tools.train.trace2d;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.panoptim.TestEngines;
import io.panoptim.tools.Tool;
import io.panoptim.tools.train.Charts;
import io.panoptim.tools.train.Gradients;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class Trace2dTest {
    @TempDir
    private Path folder;

    @ParameterizedTest
    @EnumSource
    void theGradientsAreThoseOfTheSurface(Surface surface) {
        try (Trace2d trace = new Trace2d(TestEngines.reference(), surface, -1.5, 0.25)) {
            Gradients.check(trace);
        }
        assertEquals(0, surface.value(0, 0));
        assertArrayEquals(new double[2], surface.gradient(0, 0));
    }

    @Test
    void gradientDescentShrinksEachCoordinateByItsFactor() throws Exception {
        Tool tool = train("--optimizer", "SGD", "--lr", "0.4", "--epochs", "20", "--start", "-5,-2");
        assertEquals(0, tool.status(), tool.err());
        List<String> lines = Files.readAllLines(folder.resolve("history.csv"));
        assertEquals("epoch,loss,lr,x1,x2", lines.getFirst());
        for (int i = 1; i <= 20; i++) {
            double[] fields = Arrays.stream(lines.get(i).split(",")).mapToDouble(Double::parseDouble).toArray();
            assertEquals(-5 * Math.pow(1 - 0.4 * 0.2, i), fields[3], 1e-5);
            assertEquals(-2 * Math.pow(1 - 0.4 * 4, i), fields[4], 1e-5);
        }
        assumeTrue(Charts.unavailable().isEmpty(), () -> Charts.unavailable().orElse(""));
        assertEquals(1600, ImageIO.read(folder.resolve("trace2d.png").toFile()).getWidth());
    }

    @Test
    void aPathThatLeavesTheWorldIsDrawnAsFarAsItCanBe() {
        Tool tool = train("--optimizer", "SGD", "--lr", "4", "--compare", "Adam");
        assertEquals(0, tool.status(), tool.err());
        assertTrue(tool.err().isEmpty() || Charts.unavailable().isPresent(), tool.err());
    }

    @Test
    void inTheValleyAdagradAloneOvershootsAndDecayOrWarmUpMendsIt() throws Exception {
        Tool tool = train("--surface", "VALLEY");
        assertEquals(0, tool.status(), tool.err());
        List<String> lines = Files.readAllLines(folder.resolve("history.csv"));
        assertTrue(climb(lines, "Adagrad alone") > 30, tool.out());
        assertTrue(climb(lines, "Adagrad with decay") < 0.01, tool.out());
        assertTrue(climb(lines, "Adagrad with warm-up") < 0.01, tool.out());
    }

    /** By how much the loss rises above what it has been. */
    private static double climb(List<String> lines, String run) {
        double least = Double.POSITIVE_INFINITY;
        double climb = 0;
        for (String line : lines) {
            if (line.startsWith('"' + run + '"')) {
                double loss = Double.parseDouble(line.split(",")[2]);
                least = Math.min(least, loss);
                climb = Math.max(climb, loss - least);
            }
        }
        assertTrue(least < 5, run + ": " + least);
        return climb;
    }

    @ParameterizedTest
    @CsvSource(delimiter = '>', textBlock = """
            --start 1          > --start: expected two numbers with a comma between them, found 1
            --start 1,2,3      > --start: expected two numbers with a comma between them, found 3
            --surface HILL     > Invalid value for option '--surface': expected one of [BOWL, VALLEY] (case-insensitive) but was 'HILL' (see panoptim train trace2d --help)
            """)
    void whatIsWrongIsOneLine(String arguments, String message) {
        assertEquals("panoptim: " + message, train(arguments.split(" ")).err().strip());
    }

    private Tool train(String... options) {
        return Tool.train("trace2d", folder, options);
    }
}
