package io.panoptim.tools.train;

import java.awt.AWTError;
import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.font.FontRenderContext;
import java.awt.font.TextLayout;
import java.awt.geom.Ellipse2D;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;
import org.knowm.xchart.ChartEncoder;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.HeatMapChartBuilder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.XYSeries.XYSeriesRenderStyle;
import org.knowm.xchart.internal.chartpart.IChart;
import org.knowm.xchart.style.AxesChartStyler;
import org.knowm.xchart.style.Styler.LegendLayout;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.lines.SeriesLines;
import org.knowm.xchart.style.markers.Marker;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The look that all plots share, and the plots of a training's history. */
public final class Charts {
    private static final int WIDTH = 1600;
    private static final int HEIGHT = 1100;
    /** XChart never comes back from labelling far larger values. */
    private static final double LIMIT = 1e15;
    /** As many points as can be told apart. */
    private static final int FEW = 50;
    /** Losses that differ by a larger factor, and learning rates of different optimizers, are drawn on a logarithmic axis. */
    private static final double WIDE = 100;
    /** What a logarithmic axis leaves out, as a part of the largest. */
    private static final double NEGLIGIBLE = 1e-12;
    /** As many letters as fit in one line of the legend, and how many a line's picture takes. */
    private static final int LEGEND_LETTERS = 95;
    private static final int LEGEND_PICTURE = 8;
    private static final Color INK = new Color(0x30363d);
    private static final Color FAINT = new Color(0xe3e6ea);
    /** Okabe and Ito's, which most people with colour-blindness can tell apart, after the two of the classes. */
    private static final Color[] COLORS = {new Color(0x2166ac), new Color(0xd6604d), new Color(0x009e73), new Color(0xe69f00),
        new Color(0xcc79a7), new Color(0x56b4e9), INK, new Color(0x8c6d31)};
    private static final BasicStroke[] STROKES = {SeriesLines.SOLID, SeriesLines.DASH_DASH, SeriesLines.DOT_DOT};

    private Charts() {}

    /** What can fail for want of a font. */
    public interface Drawing {
        void draw() throws IOException;
    }

    /** Why nothing can be drawn here, and what to do; empty when all is well. */
    public static Optional<String> unavailable() {
        try {
            return attempt(() -> new TextLayout("x", font(Font.PLAIN, 10), new FontRenderContext(null, true, true)).getBounds());
        } catch (IOException impossible) {
            throw new AssertionError(impossible);
        }
    }

    /** Draws; returns what Java throws where it finds no font, and what to do. */
    public static Optional<String> attempt(Drawing drawing) throws IOException {
        try {
            drawing.draw();
            return Optional.empty();
        } catch (RuntimeException | LinkageError | InternalError | AWTError failure) {
            return Optional.of("Java finds no usable font on this system (" + failure + "): install fontconfig and a font, for "
                    + "example by 'apt install fontconfig fonts-dejavu-core', and run this again");
        }
    }

    /** An empty chart. */
    public static XYChart chart(String title, String xAxis, String yAxis) {
        XYChart chart = new XYChartBuilder().width(WIDTH).height(HEIGHT).title(title).xAxisTitle(xAxis).yAxisTitle(yAxis)
                .build();
        style(chart.getStyler());
        return chart;
    }

    /** Counts in a square, the first row at the top; zeros are left out. */
    public static HeatMapChart counts(String title, String xAxis, String yAxis, int[][] counts) {
        HeatMapChart chart = new HeatMapChartBuilder().width(WIDTH).height(HEIGHT).title(title).xAxisTitle(xAxis).yAxisTitle(yAxis)
                .build();
        style(chart.getStyler());
        chart.getStyler().setShowValue(true).setValueFont(font(Font.PLAIN, 24)).setValueFontColor(INK)
                .setHeatMapValueDecimalPattern("#")
                .setRangeColors(new Color[] {Color.WHITE, new Color(0xa9cbe6)}).setLegendVisible(false);
        chart.getStyler().setPlotGridLinesVisible(false).setXAxisTickMarkSpacingHint(40).setYAxisTickMarkSpacingHint(40);
        int size = counts.length;
        List<Number[]> cells = new ArrayList<>();
        for (int row = 0; row < size; row++) {
            for (int column = 0; column < size; column++) {
                if (counts[row][column] != 0) {
                    cells.add(new Number[] {column, size - 1 - row, counts[row][column]});
                }
            }
        }
        chart.addSeries("counts", IntStream.range(0, size).boxed().toList(),
                IntStream.range(0, size).map(i -> size - 1 - i).boxed().toList(), cells);
        return chart;
    }

    /**
     * Bars in groups, labelled with their heights.
     *
     * @param series each name's heights, by group; NaN for none
     */
    public static CategoryChart bars(String title, String yAxis, List<String> groups, Map<String, double[]> series) {
        CategoryChart chart = new CategoryChartBuilder().width(WIDTH).height(HEIGHT).title(title).yAxisTitle(yAxis).build();
        style(chart.getStyler());
        chart.getStyler().setAvailableSpaceFill(0.7).setLabelsVisible(true).setLabelsFont(font(Font.PLAIN, 20)).setLabelsPosition(1.1)
                .setLabelsFontColor(INK).setXAxisLabelRotation(20).setDecimalPattern("0.##");
        int next = 0;
        for (Map.Entry<String, double[]> bars : series.entrySet()) {
            List<Double> heights = Arrays.stream(bars.getValue()).mapToObj(height -> Double.isNaN(height) ? null : (Double) height).toList();
            chart.addSeries(bars.getKey(), groups, heights).setFillColor(color(next++));
        }
        return chart;
    }

    private static void style(AxesChartStyler style) {
        style.setChartBackgroundColor(Color.WHITE).setChartFontColor(INK).setChartPadding(36)
                .setChartTitleFont(font(Font.BOLD, 34)).setChartTitleBoxVisible(false).setChartTitlePadding(20)
                .setLegendFont(font(Font.PLAIN, 26)).setLegendBorderColor(FAINT).setLegendPadding(16)
                .setLegendPosition(LegendPosition.OutsideS).setLegendLayout(LegendLayout.Horizontal).setLegendSeriesLineLength(40)
                .setPlotBackgroundColor(Color.WHITE).setPlotBorderColor(FAINT).setPlotContentSize(1)
                .setAntiAlias(true).setTextAntiAlias(true).setMarkerSize(13);
        style.setAxisTitleFont(font(Font.PLAIN, 28)).setAxisTitlePadding(18).setAxisTickLabelsFont(font(Font.PLAIN, 24))
                .setAxisTickLabelsColor(INK).setAxisTickMarksColor(FAINT).setAxisTickPadding(12).setAxisTicksLineVisible(false)
                .setPlotGridLinesColor(FAINT).setPlotGridLinesStroke(new BasicStroke(1.5f)).setPlotMargin(0)
                .setXAxisTickMarkSpacingHint(180).setYAxisTickMarkSpacingHint(110);
    }

    /** Adds a line. */
    public static XYSeries line(XYChart chart, String name, double[] x, double[] y, Color color) {
        XYSeries line = chart.addSeries(name, x, y);
        line.setXYSeriesRenderStyle(XYSeriesRenderStyle.Line).setMarker(SeriesMarkers.NONE).setMarkerColor(color);
        line.setLineColor(color).setLineWidth(4);
        return line;
    }

    /** Adds points. */
    public static XYSeries points(XYChart chart, String name, double[] x, double[] y, Color color) {
        XYSeries points = chart.addSeries(name, x, y);
        // A line that is not drawn: XChart's legend has too little room for scattered series.
        points.setXYSeriesRenderStyle(XYSeriesRenderStyle.Line).setMarker(new Dot()).setMarkerColor(color)
                .setLineStyle(SeriesLines.NONE);
        return points;
    }

    /** One of a few colours that can be told apart. */
    public static Color color(int index) {
        return COLORS[index % COLORS.length];
    }

    /** The name of a run's own plot: {@code moons.png}, of the second run {@code moons-2.png}. */
    public static String name(String plot, int run) {
        return plot + (run == 0 ? "" : "-" + (run + 1)) + ".png";
    }

    /** Writes a chart as PNG, or as SVG if its name ends so, and returns the file's name. */
    public static String save(XYChart chart, Path folder, String name) throws IOException {
        int letters = chart.getSeriesCollection().stream().filter(XYSeries::isShowInLegend)
                .mapToInt(series -> series.getLabel().length() + LEGEND_PICTURE).sum();
        chart.getStyler().setLegendLayout(letters > LEGEND_LETTERS ? LegendLayout.Vertical : LegendLayout.Horizontal);
        return write(chart, folder, name);
    }

    /** Writes a chart as PNG, or as SVG if its name ends so, and returns the file's name. */
    public static String save(HeatMapChart chart, Path folder, String name) throws IOException {
        return write(chart, folder, name);
    }

    /** See {@link #save(XYChart, Path, String)}. */
    public static String save(CategoryChart chart, Path folder, String name) throws IOException {
        return write(chart, folder, name);
    }

    private static String write(IChart chart, Path folder, String name) throws IOException {
        ChartEncoder.saveChart(chart, folder.resolve(name).toString(), name.endsWith(".svg") ? "svg" : "png");
        return name;
    }

    /**
     * Keeps the ticks off the values: where all are equally spaced, as epochs are, XChart puts its ticks on them.
     *
     * @param x two values within the chart
     * @param y two values within the chart
     */
    public static void roundTicks(XYChart chart, double[] x, double[] y) {
        chart.addSeries("uneven", new double[] {x[0], x[0] + 0.3 * (x[1] - x[0]), x[1]},
                new double[] {y[0], y[0] + 0.3 * (y[1] - y[0]), y[1]})
                .setXYSeriesRenderStyle(XYSeriesRenderStyle.Scatter).setMarker(SeriesMarkers.NONE).setShowInLegend(false);
    }

    /**
     * A line, or several, over epochs or steps.
     *
     * @param first the number of the first epoch or step
     * @param lines by their names in the legend, which one line alone does not have
     */
    public static XYChart overTime(String title, String time, String quantity, int first, Map<String, double[]> lines,
                                   XYSeriesRenderStyle style) {
        List<Curve> curves = new ArrayList<>();
        lines.forEach((name, values) -> curves.add(new Curve(name, drawable(values), color(curves.size()), SeriesLines.SOLID)));
        return overTime(title, time, quantity, first, curves, style, Extent.linear(curves));
    }

    /** Draws what runs have recorded, a plot for each topic. */
    static List<String> draw(List<? extends Run<?>> runs, Path folder) throws IOException {
        List<String> files = new ArrayList<>();
        for (String topic : runs.getFirst().history().columns().stream().map(Charts::topic).distinct().toList()) {
            List<Curve> curves = curves(topic, runs);
            XYChart chart = switch (topic) {
                case Training.LOSS -> overTime("Training loss", "epoch", topic, 1, curves, XYSeriesRenderStyle.Line,
                        Extent.ofLosses(curves));
                case Training.LR -> overTime("Learning rate", "epoch", "learning rate", 1, curves, XYSeriesRenderStyle.Step,
                        Extent.ofRates(curves));
                default -> overTime(topic.substring(0, 1).toUpperCase(Locale.ROOT) + topic.substring(1), "epoch", topic, 1, curves,
                        XYSeriesRenderStyle.Line, Extent.linear(curves));
            };
            files.add(save(chart, folder, topic + ".png"));
        }
        return files;
    }

    /** What a column of a history is about: its first word. */
    static String topic(String column) {
        return column.split(" ", 2)[0];
    }

    /** A line over time. */
    private record Curve(String name, double[] values, Color color, BasicStroke stroke) {}

    /** Runs have their colours; or, where there is only one, its columns. */
    private static List<Curve> curves(String topic, List<? extends Run<?>> runs) {
        boolean alone = runs.size() == 1;
        List<Curve> curves = new ArrayList<>();
        for (int run = 0; run < runs.size(); run++) {
            History history = runs.get(run).history();
            List<String> columns = history.columns().stream().filter(column -> topic(column).equals(topic)).toList();
            for (int i = 0; i < columns.size(); i++) {
                String name = columns.size() == 1 ? "" : columns.get(i).equals(topic) ? topic
                        : columns.get(i).substring(topic.length() + 1);
                String label = alone ? name : runs.get(run).label() + (name.isEmpty() ? "" : ", ") + name;
                curves.add(new Curve(label, drawable(history.values(columns.get(i))), color(alone ? i : run),
                        STROKES[alone ? 0 : i % STROKES.length]));
            }
        }
        return curves;
    }

    /** What an axis shows. */
    private record Extent(double min, double max, boolean logarithmic) {
        static Extent linear(List<Curve> curves) {
            DoubleSummaryStatistics all = statistics(curves, Double.NEGATIVE_INFINITY);
            return all.getCount() == 0 ? new Extent(0, 1, false)
                    : new Extent(all.getMin() == all.getMax() ? 0 : all.getMin(), all.getMax(), false);
        }

        /** Without those that are tiny beside the largest, and that no line begins with. */
        private static Extent logarithmic(List<Curve> curves) {
            double max = statistics(curves, Double.MIN_VALUE).getMax();
            return new Extent(statistics(curves, max * NEGLIGIBLE).getMin(), max, true);
        }

        /** From zero on, unless they differ much. */
        static Extent ofLosses(List<Curve> curves) {
            DoubleSummaryStatistics all = statistics(curves, Double.NEGATIVE_INFINITY);
            boolean wide = all.getMin() >= 0 && statistics(curves, Double.MIN_VALUE).getMin() * WIDE < all.getMax();
            Extent linear = linear(curves);
            return wide ? logarithmic(curves) : new Extent(Math.min(0, linear.min), linear.max, false);
        }

        /** A schedule may end at zero: what counts is whether the curves' highest rates differ much. */
        static Extent ofRates(List<Curve> curves) {
            DoubleSummaryStatistics all = statistics(curves, Double.NEGATIVE_INFINITY);
            double lowest = curves.stream().mapToDouble(curve -> statistics(List.of(curve), Double.MIN_VALUE).getMax())
                    .filter(Double::isFinite).min().orElse(Double.POSITIVE_INFINITY);
            return all.getMin() >= 0 && lowest * WIDE < all.getMax() ? logarithmic(curves) : linear(curves);
        }

        private static DoubleSummaryStatistics statistics(List<Curve> curves, double bound) {
            return curves.stream().flatMapToDouble(curve -> Arrays.stream(curve.values)).filter(value -> value >= bound)
                    .summaryStatistics();
        }
    }

    private static XYChart overTime(String title, String time, String quantity, int first, List<Curve> curves,
                                    XYSeriesRenderStyle style, Extent extent) {
        int length = curves.getFirst().values.length;
        double[] times = IntStream.range(first, first + length).asDoubleStream().toArray();
        XYChart chart = chart(title, time, quantity);
        chart.getStyler().setYAxisLogarithmic(extent.logarithmic).setLegendVisible(curves.size() > 1).setPlotContentSize(0.95);
        chart.getStyler().setXAxisMin(0.0).setXAxisMax(Math.max(1.0, first + length - 1)).setYAxisMin(extent.min);
        if (!extent.logarithmic) {
            chart.getStyler().setYAxisDecimalPattern(extent.max < 1e-3 || extent.max >= 1e6 ? "0.###E0" : "0.######");
        }
        for (int i = 0; i < curves.size(); i++) {
            Curve curve = curves.get(i);
            double[] values = Arrays.stream(curve.values).map(value -> extent.logarithmic && value < extent.min ? Double.NaN : value)
                    .toArray();
            XYSeries series = line(chart, "curve " + i, times, values, curve.color);
            series.setLabel(curve.name);
            series.setXYSeriesRenderStyle(style).setMarker(length > FEW ? SeriesMarkers.NONE : SeriesMarkers.CIRCLE);
            // The first is the widest, so that lines on top of it leave it visible.
            series.setLineStyle(curve.stroke).setLineWidth(4 + 5 * Math.min(3, curves.size() - 1 - i));
        }
        roundTicks(chart, new double[] {0, 1}, new double[] {extent.min, extent.max});
        return chart;
    }

    private static double[] drawable(double[] values) {
        return Arrays.stream(values).map(value -> Math.abs(value) < LIMIT ? value : Double.NaN).toArray();
    }

    private static Font font(int style, int size) {
        return new Font(Font.SANS_SERIF, style, size);
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
