package io.panoptim.tools.train.moons;

import io.panoptim.tools.train.Charts;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.geom.Ellipse2D;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleBinaryOperator;
import java.util.stream.IntStream;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.XYSeries.XYSeriesRenderStyle;
import org.knowm.xchart.style.lines.SeriesLines;
import org.knowm.xchart.style.markers.Marker;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The points of both classes over the probability that the model gives to class 1, with the line where it is one half. */
final class DecisionPlot {
    private static final int COLUMNS = 320;
    private static final int ROWS = 240;
    private static final double MARGIN = 0.3;
    private static final Color[] POINTS = {new Color(0x2166ac), new Color(0xd6604d)};
    private static final Color[] AREAS = {new Color(0xa9cbe6), new Color(0xf7c3ae)};
    private static final Color BOUNDARY = new Color(0x30363d);

    private final double[] xs;
    private final double[] ys;
    private final double[][] probabilities;

    private DecisionPlot(DoubleBinaryOperator probability, TwoMoons data) {
        xs = grid(data, 0, COLUMNS);
        ys = grid(data, 1, ROWS);
        probabilities = Arrays.stream(ys).mapToObj(y -> Arrays.stream(xs).map(x -> probability.applyAsDouble(x, y)).toArray())
                .toArray(double[][]::new);
    }

    /** Draws into a folder, and returns the file's name. */
    static String draw(DoubleBinaryOperator probability, TwoMoons data, String title, Path folder) throws IOException {
        return Charts.save(new DecisionPlot(probability, data).chart(data, title), folder, "moons.png");
    }

    private XYChart chart(TwoMoons data, String title) {
        XYChart chart = Charts.chart(title, "x", "y");
        chart.getStyler().setPlotGridLinesVisible(false).setXAxisMin(xs[0]).setXAxisMax(xs[COLUMNS - 1])
                .setYAxisMin(ys[0]).setYAxisMax(ys[ROWS - 1]);

        XYSeries background = chart.addSeries("background", new double[] {xs[0], xs[COLUMNS - 1]},
                new double[] {ys[0], ys[ROWS - 1]});
        background.setXYSeriesRenderStyle(XYSeriesRenderStyle.Scatter).setMarker(new Background(image())).setShowInLegend(false);

        List<double[]> line = boundary();
        if (!line.isEmpty()) {
            XYSeries boundary = chart.addSeries("decision boundary", line.stream().mapToDouble(point -> point[0]).toArray(),
                    line.stream().mapToDouble(point -> point[1]).toArray());
            boundary.setXYSeriesRenderStyle(XYSeriesRenderStyle.Line).setMarker(SeriesMarkers.NONE);
            boundary.setLineColor(BOUNDARY).setLineWidth(4);
        }
        for (int label = 0; label < 2; label++) {
            int wanted = label;
            double[][] points = IntStream.range(0, data.size()).filter(i -> data.labels()[i] == wanted)
                    .mapToObj(i -> data.points()[i]).toArray(double[][]::new);
            XYSeries dots = chart.addSeries("moon " + label, Arrays.stream(points).mapToDouble(point -> point[0]).toArray(),
                    Arrays.stream(points).mapToDouble(point -> point[1]).toArray());
            // A line that is not drawn: XChart's legend has too little room for scattered series.
            dots.setXYSeriesRenderStyle(XYSeriesRenderStyle.Line).setMarker(new Dot()).setMarkerColor(POINTS[label])
                    .setLineStyle(SeriesLines.NONE);
        }
        return chart;
    }

    /** Where the probability crosses one half: a segment for each cell of the grid that it passes, parted by NaN. */
    private List<double[]> boundary() {
        List<double[]> line = new ArrayList<>();
        for (int row = 0; row + 1 < ROWS; row++) {
            for (int column = 0; column + 1 < COLUMNS; column++) {
                List<double[]> crossings = new ArrayList<>();
                cross(crossings, column, row, column + 1, row);
                cross(crossings, column + 1, row, column + 1, row + 1);
                cross(crossings, column + 1, row + 1, column, row + 1);
                cross(crossings, column, row + 1, column, row);
                for (int i = 0; i + 1 < crossings.size(); i += 2) {
                    line.addAll(crossings.subList(i, i + 2));
                    line.add(new double[] {crossings.get(i + 1)[0], Double.NaN});
                }
            }
        }
        return line;
    }

    /** Where the edge between two points of the grid is crossed, if it is. */
    private void cross(List<double[]> crossings, int column1, int row1, int column2, int row2) {
        double first = probabilities[row1][column1] - 0.5;
        double second = probabilities[row2][column2] - 0.5;
        if (first > 0 != second > 0) {
            double part = first / (first - second);
            crossings.add(new double[] {
                xs[column1] + part * (xs[column2] - xs[column1]), ys[row1] + part * (ys[row2] - ys[row1])});
        }
    }

    private BufferedImage image() {
        BufferedImage image = new BufferedImage(COLUMNS, ROWS, BufferedImage.TYPE_INT_RGB);
        for (int row = 0; row < ROWS; row++) {
            for (int column = 0; column < COLUMNS; column++) {
                image.setRGB(column, ROWS - 1 - row, color(probabilities[row][column]));
            }
        }
        return image;
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

    private static double[] grid(TwoMoons data, int coordinate, int size) {
        double min = Arrays.stream(data.points()).mapToDouble(point -> point[coordinate]).min().orElseThrow() - MARGIN;
        double max = Arrays.stream(data.points()).mapToDouble(point -> point[coordinate]).max().orElseThrow() + MARGIN;
        return IntStream.range(0, size).mapToDouble(i -> min + (max - min) * i / (size - 1)).toArray();
    }

    /** XChart has no pictures beneath the data: this one is the marker of a series of two points, its corners. */
    private static final class Background extends Marker {
        private final BufferedImage image;
        private double left = Double.NaN;
        private double bottom;

        Background(BufferedImage image) {
            this.image = image;
        }

        @Override
        public void paint(Graphics2D graphics, double x, double y, int size) {
            if (Double.isNaN(left)) {
                left = x;
                bottom = y;
            } else {
                graphics.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR);
                graphics.drawImage(image, (int) left, (int) y, (int) (x - left), (int) (bottom - y), null);
            }
        }
    }

    /** A dot with a white rim, so that neighbours stay apart. */
    private static final class Dot extends Marker {
        @Override
        public void paint(Graphics2D graphics, double x, double y, int size) {
            Color fill = graphics.getColor();
            graphics.setColor(Color.WHITE);
            graphics.fill(circle(x, y, size + 4));
            graphics.setColor(fill);
            graphics.fill(circle(x, y, size));
        }

        private static Ellipse2D circle(double x, double y, double diameter) {
            return new Ellipse2D.Double(x - diameter / 2, y - diameter / 2, diameter, diameter);
        }
    }
}
