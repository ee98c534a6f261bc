package io.panoptim.tools.train.moons;

import io.panoptim.tools.train.Charts;
import io.panoptim.tools.train.Field;
import io.panoptim.tools.train.Run;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.knowm.xchart.XYChart;

/** The points of both classes over the probability that the model gives to class 1, with the line where it is one half. */
final class DecisionPlot {
    private static final double MARGIN = 0.3;
    private static final Color[] AREAS = {new Color(0xa9cbe6), new Color(0xf7c3ae)};
    private static final Color BOUNDARY = new Color(0x30363d);

    private DecisionPlot() {}

    /** Draws each run's. */
    static List<String> draw(List<Run<Moons>> runs, Path folder) throws IOException {
        List<String> files = new ArrayList<>();
        for (int i = 0; i < runs.size(); i++) {
            String title = "Two moons" + (runs.size() == 1 ? "" : ", " + runs.get(i).label());
            Moons moons = runs.get(i).experiment();
            files.add(Charts.save(chart(moons, title + ": " + moons.result()), folder, Charts.name("moons", i)));
        }
        return files;
    }

    private static XYChart chart(Moons moons, String title) {
        TwoMoons data = moons.data();
        XYChart chart = Charts.chart(title, "x", "y");
        Field field = new Field(moons::probability, min(data, 0), max(data, 0), min(data, 1), max(data, 1));
        field.paint(chart, DecisionPlot::color);
        List<double[]> line = field.level(0.5);
        if (!line.isEmpty()) {
            Charts.line(chart, "decision boundary", Field.coordinate(line, 0), Field.coordinate(line, 1), BOUNDARY);
        }
        for (int label = 0; label < 2; label++) {
            int wanted = label;
            List<double[]> points = IntStream.range(0, data.size()).filter(i -> data.labels()[i] == wanted)
                    .mapToObj(i -> data.points()[i]).toList();
            Charts.points(chart, "moon " + label, Field.coordinate(points, 0), Field.coordinate(points, 1), Charts.color(label));
        }
        return chart;
    }

    /** From one class's colour over white, where the model does not know, to the other's. */
    private static int color(double probability) {
        Color area = AREAS[probability < 0.5 ? 0 : 1];
        float certainty = (float) Math.abs(2 * probability - 1);
        return blend(area.getRed(), certainty) << 16 | blend(area.getGreen(), certainty) << 8 | blend(area.getBlue(), certainty);
    }

    private static int blend(int component, float weight) {
        return Math.round(255 + weight * (component - 255));
    }

    private static double min(TwoMoons data, int coordinate) {
        return Arrays.stream(data.points()).mapToDouble(point -> point[coordinate]).min().orElseThrow() - MARGIN;
    }

    private static double max(TwoMoons data, int coordinate) {
        return Arrays.stream(data.points()).mapToDouble(point -> point[coordinate]).max().orElseThrow() + MARGIN;
    }
}
