package io.panoptim.tools.train.gan;

import io.panoptim.tools.train.Charts;
import io.panoptim.tools.train.Run;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.knowm.xchart.XYChart;

/** How the generated numbers are distributed, how they should be, and how probable the discriminator finds each to be real. */
final class DistributionPlot {
    private static final int BINS = 40;
    private static final int SAMPLE = 20_000;
    private static final double WIDTH = 8 * Gan.DEVIATION / BINS;
    private static final double FIRST = Gan.MEAN - 4 * Gan.DEVIATION;
    private static final Color INK = new Color(0x30363d);

    private DistributionPlot() {}

    static List<String> draw(List<Run<Gan>> runs, Path folder) throws IOException {
        Gan gan = runs.getFirst().experiment();
        double[] centers = IntStream.range(0, BINS).mapToDouble(i -> FIRST + (i + 0.5) * WIDTH).toArray();
        XYChart chart = Charts.chart("Generator and discriminator", "x", "density; probability");
        chart.getStyler().setYAxisMin(0.0).setYAxisMax(1.0);
        Charts.line(chart, "target", centers, Arrays.stream(centers).map(DistributionPlot::target).toArray(), Charts.color(0));
        Charts.line(chart, "generated", centers, density(gan.generate(SAMPLE)), Charts.color(1));
        Charts.line(chart, "taken for real", centers, gan.judge(centers), INK);
        Charts.roundTicks(chart, new double[] {centers[0], centers[BINS - 1]}, new double[] {0, 1});
        return List.of(Charts.save(chart, folder, "distribution.png"));
    }

    private static double target(double x) {
        double distance = (x - Gan.MEAN) / Gan.DEVIATION;
        return Math.exp(-distance * distance / 2) / (Gan.DEVIATION * Math.sqrt(2 * Math.PI));
    }

    /** A histogram with an area of 1, but for what lies outside. */
    private static double[] density(double[] numbers) {
        double[] density = new double[BINS];
        for (double number : numbers) {
            int bin = (int) Math.floor((number - FIRST) / WIDTH);
            if (bin >= 0 && bin < BINS) {
                density[bin] += 1 / (numbers.length * WIDTH);
            }
        }
        return density;
    }
}
