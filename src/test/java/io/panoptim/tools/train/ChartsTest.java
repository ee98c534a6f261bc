package io.panoptim.tools.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** XChart refuses or never comes back from some data, which a training that diverges does produce. */
class ChartsTest {
    @BeforeEach
    void needsAFont() {
        System.setProperty("java.awt.headless", "true");
        assumeTrue(Charts.unavailable().isEmpty(), () -> Charts.unavailable().orElse(""));
    }

    static List<double[]> histories() {
        return List.of(
                new double[] {0.7},
                new double[] {0},
                new double[] {0.7, Double.NaN, Double.NaN},
                new double[] {Double.NaN},
                new double[] {Double.NaN, Double.POSITIVE_INFINITY},
                new double[] {0.7, 1e39, 1e300},
                new double[] {1e39, 1e39},
                new double[] {1e9, 2e9, 1e12},
                new double[] {1e-9, 2e-9, 1e-12},
                new double[] {0.01, 0.01, 0.01},
                new double[] {-1, 0, 1},
                new double[] {1, 1e-5, 1e-30, 0},
                new double[] {1e-30, 1e10, Double.NaN});
    }

    @ParameterizedTest
    @MethodSource("histories")
    @Timeout(20)
    void anyHistoryIsDrawn(double[] values, @TempDir Path folder) throws Exception {
        Run<?> run = run("run", values);
        assertEquals(List.of("loss.png", "lr.png"), Charts.draw(List.of(run), folder));
        check(folder);
        Run<?> other = run("a run with a name that is longer than the line of the legend has room for, by far", new double[values.length]);
        assertEquals(List.of("loss.png", "lr.png"), Charts.draw(List.of(run, other), folder));
        check(folder);
    }

    private static Run<?> run(String label, double[] values) {
        History history = new History(values.length);
        for (int i = 0; i < values.length; i++) {
            history.record(i, "loss", values[i]);
            history.record(i, "lr features", values[i]);
            history.record(i, "lr classifier", -values[i]);
        }
        return new Run<Experiment>(label, null, history);
    }

    private static void check(Path folder) throws IOException {
        for (String file : List.of("loss.png", "lr.png")) {
            assertTrue(Files.size(folder.resolve(file)) > 10_000);
            assertEquals(1600, ImageIO.read(folder.resolve(file).toFile()).getWidth());
        }
    }
}
