package io.panoptim.tools.train;

import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleToIntFunction;
import java.util.stream.IntStream;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.XYSeries.XYSeriesRenderStyle;
import org.knowm.xchart.style.markers.Marker;

/** A function of two coordinates over a rectangle: a coloured plane, and the lines on which it has a value. */
public final class Field {
    private static final int COLUMNS = 320;
    private static final int ROWS = 240;

    private final double[] xs;
    private final double[] ys;
    private final double[][] values;

    /** Samples a function. */
    public Field(DoubleBinaryOperator function, double minX, double maxX, double minY, double maxY) {
        xs = grid(minX, maxX, COLUMNS);
        ys = grid(minY, maxY, ROWS);
        values = Arrays.stream(ys).mapToObj(y -> Arrays.stream(xs).map(x -> function.applyAsDouble(x, y)).toArray())
                .toArray(double[][]::new);
    }

    /** Fits a chart to the rectangle, and colours it. */
    public void paint(XYChart chart, DoubleToIntFunction color) {
        chart.getStyler().setPlotGridLinesVisible(false).setXAxisMin(xs[0]).setXAxisMax(xs[COLUMNS - 1])
                .setYAxisMin(ys[0]).setYAxisMax(ys[ROWS - 1]);
        BufferedImage image = new BufferedImage(COLUMNS, ROWS, BufferedImage.TYPE_INT_RGB);
        for (int row = 0; row < ROWS; row++) {
            for (int column = 0; column < COLUMNS; column++) {
                image.setRGB(column, ROWS - 1 - row, color.applyAsInt(values[row][column]));
            }
        }
        XYSeries background = chart.addSeries("background", new double[] {xs[0], xs[COLUMNS - 1]},
                new double[] {ys[0], ys[ROWS - 1]});
        background.setXYSeriesRenderStyle(XYSeriesRenderStyle.Scatter).setMarker(new Background(image)).setShowInLegend(false);
    }

    /** Where the function crosses a value: a segment for each cell of the grid that it passes, parted by NaN. */
    public List<double[]> level(double value) {
        List<double[]> line = new ArrayList<>();
        for (int row = 0; row + 1 < ROWS; row++) {
            for (int column = 0; column + 1 < COLUMNS; column++) {
                List<double[]> crossings = new ArrayList<>();
                cross(value, crossings, column, row, column + 1, row);
                cross(value, crossings, column + 1, row, column + 1, row + 1);
                cross(value, crossings, column + 1, row + 1, column, row + 1);
                cross(value, crossings, column, row + 1, column, row);
                for (int i = 0; i + 1 < crossings.size(); i += 2) {
                    line.addAll(crossings.subList(i, i + 2));
                    line.add(new double[] {crossings.get(i + 1)[0], Double.NaN});
                }
            }
        }
        return line;
    }

    /** One coordinate of points. */
    public static double[] coordinate(List<double[]> points, int index) {
        return points.stream().mapToDouble(point -> point[index]).toArray();
    }

    /** Where the edge between two points of the grid is crossed, if it is. */
    private void cross(double value, List<double[]> crossings, int column1, int row1, int column2, int row2) {
        double first = values[row1][column1] - value;
        double second = values[row2][column2] - value;
        if (first > 0 != second > 0) {
            double part = first / (first - second);
            crossings.add(new double[] {
                xs[column1] + part * (xs[column2] - xs[column1]), ys[row1] + part * (ys[row2] - ys[row1])});
        }
    }

    private static double[] grid(double min, double max, int size) {
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
}
