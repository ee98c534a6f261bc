package io.panoptim.tools.train.trace2d;

import io.panoptim.tools.train.Charts;
import io.panoptim.tools.train.Field;
import io.panoptim.tools.train.Run;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The paths of all runs over lines of equal height. */
final class PathPlot {
    private static final int LEVELS = 14;
    /** A line's height as a part of the next one's. */
    private static final double RATIO = 0.45;
    /** Around everything, as a part of its extent. */
    private static final double MARGIN = 0.12;
    /** Paths are followed so many times as far as the start. */
    private static final double FAR = 2;
    /** As many steps as can be told apart. */
    private static final int FEW = 200;
    private static final Color LINES = new Color(0xa4adb8);
    private static final Color INK = new Color(0x30363d);

    private final List<Run<Trace2d>> runs;
    private final Surface surface;
    private final double[] start;
    private final List<List<double[]>> paths;

    private PathPlot(List<Run<Trace2d>> runs) {
        this.runs = runs;
        surface = runs.getFirst().experiment().surface();
        start = runs.getFirst().experiment().start();
        double limit = FAR * Math.max(1, Math.max(Math.abs(start[0]), Math.abs(start[1])));
        paths = runs.stream().map(run -> path(run, limit)).toList();
    }

    static List<String> draw(List<Run<Trace2d>> runs, Path folder) throws IOException {
        return List.of(Charts.save(new PathPlot(runs).chart(), folder, "trace2d.png"));
    }

    private List<double[]> path(Run<Trace2d> run, double limit) {
        double[] x1 = run.history().values("x1");
        double[] x2 = run.history().values("x2");
        List<double[]> path = new ArrayList<>(List.of(start));
        for (int i = 0; i < x1.length; i++) {
            boolean near = Math.abs(x1[i]) <= limit && Math.abs(x2[i]) <= limit;
            path.add(near ? new double[] {x1[i], x2[i]} : new double[] {Double.NaN, Double.NaN});
        }
        return path;
    }

    private XYChart chart() {
        XYChart chart = Charts.chart("f = " + surface.formula(), "x1", "x2");
        double[] first = extent(0);
        double[] second = extent(1);
        Field field = new Field(surface::value, first[0], first[1], second[0], second[1]);
        double highest = Stream.of(first[0], first[1], 0.0).flatMap(x -> Stream.of(second[0], second[1]).map(y -> surface.value(x, y)))
                .mapToDouble(value -> value).max().orElseThrow();
        field.paint(chart, value -> color(Math.log(value / highest) / (LEVELS * Math.log(RATIO))));
        List<double[]> lines = new ArrayList<>();
        for (int i = 1; i <= LEVELS; i++) {
            lines.addAll(field.level(highest * Math.pow(RATIO, i)));
        }
        Charts.line(chart, "levels", Field.coordinate(lines, 0), Field.coordinate(lines, 1), LINES).setShowInLegend(false);
        chart.getSeries("levels").setLineWidth(1.5f);
        for (int i = 0; i < paths.size(); i++) {
            XYSeries path = Charts.line(chart, "path " + i, Field.coordinate(paths.get(i), 0), Field.coordinate(paths.get(i), 1),
                    Charts.color(i));
            path.setLabel(runs.get(i).label());
            path.setMarker(paths.get(i).size() > FEW ? SeriesMarkers.NONE : SeriesMarkers.CIRCLE);
        }
        Charts.points(chart, "start", new double[] {start[0]}, new double[] {start[1]}, INK).setShowInLegend(false);
        chart.addSeries("minimum", new double[] {0}, new double[] {0}).setMarker(SeriesMarkers.CROSS).setMarkerColor(INK)
                .setLineColor(INK).setShowInLegend(false);
        return chart;
    }

    /** Of all paths, the minimum included. */
    private double[] extent(int coordinate) {
        double min = 0;
        double max = 0;
        for (double x : paths.stream().flatMap(List::stream).mapToDouble(point -> point[coordinate]).filter(Double::isFinite)
                .toArray()) {
            min = Math.min(min, x);
            max = Math.max(max, x);
        }
        double margin = MARGIN * Math.max(max - min, 1e-3);
        return new double[] {min - margin, max + margin};
    }

    /** The lower, the whiter. */
    private static int color(double depth) {
        double white = Math.clamp(depth, 0, 1);
        int red = (int) (208 + 44 * white);
        int blue = (int) (228 + 26 * white);
        return red << 16 | (int) (217 + 36 * white) << 8 | blue;
    }
}
