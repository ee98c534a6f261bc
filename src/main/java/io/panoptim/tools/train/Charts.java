package io.panoptim.tools.train;

import java.awt.AWTError;
import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.font.FontRenderContext;
import java.awt.font.TextLayout;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.knowm.xchart.ChartEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.XYSeries.XYSeriesRenderStyle;
import org.knowm.xchart.style.Styler.LegendLayout;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.XYStyler;
import org.knowm.xchart.style.lines.SeriesLines;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The look that all plots share, and the plots of a training's history. */
public final class Charts {
    private static final int WIDTH = 1600;
    private static final int HEIGHT = 1100;
    /** XChart never comes back from labelling far larger values. */
    private static final double LIMIT = 1e15;
    /** As many points as can be told apart. */
    private static final int FEW = 50;
    private static final Color INK = new Color(0x30363d);
    private static final Color FAINT = new Color(0xe3e6ea);
    /** Of the first lines of a plot; further ones begin anew. */
    private static final Color[] COLORS = {new Color(0x2166ac), new Color(0xd6604d), new Color(0x4d9221), new Color(0x8c510a),
        new Color(0x762a83), new Color(0x35978f)};

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
        XYStyler style = chart.getStyler();
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
        return chart;
    }

    /** Writes a chart as PNG, or as SVG if its name ends so, and returns the file's name. */
    public static String save(XYChart chart, Path folder, String name) throws IOException {
        ChartEncoder.saveChart(chart, folder.resolve(name).toString(), name.endsWith(".svg") ? "svg" : "png");
        return name;
    }

    /** Loss and learning rate. */
    static List<String> draw(History history, Path folder) throws IOException {
        XYChart loss = overTime("Training loss", "epoch", "loss", 1, Map.of("loss", history.losses()), XYSeriesRenderStyle.Line);
        loss.getStyler().setYAxisMin(0.0);
        XYChart lr = overTime("Learning rate", "epoch", "learning rate", 1, Map.of("learning rate", history.lrs()),
                XYSeriesRenderStyle.Step);
        return List.of(save(loss, folder, "loss.png"), save(lr, folder, "lr.png"));
    }

    /**
     * A line, or several, over epochs or steps.
     *
     * @param first the number of the first epoch or step
     * @param lines by their names in the legend, which one line alone does not have
     */
    public static XYChart overTime(String title, String time, String quantity, int first, Map<String, double[]> lines,
                                   XYSeriesRenderStyle style) {
        int length = lines.values().iterator().next().length;
        double[] times = IntStream.range(first, first + length).asDoubleStream().toArray();
        DoubleSummaryStatistics range = lines.values().stream().flatMapToDouble(Arrays::stream).map(Charts::drawable)
                .filter(Double::isFinite).summaryStatistics();
        double max = range.getCount() == 0 ? 1 : range.getMax();
        double min = range.getCount() == 0 || range.getMin() == max ? 0 : range.getMin();

        XYChart chart = chart(title, time, quantity);
        chart.getStyler().setLegendVisible(lines.size() > 1).setPlotContentSize(0.95);
        chart.getStyler().setXAxisMin(0.0).setXAxisMax(Math.max(1.0, first + length - 1)).setYAxisMin(min)
                .setYAxisDecimalPattern(max < 1e-3 || max >= 1e6 ? "0.###E0" : "0.######");
        int color = 0;
        for (Map.Entry<String, double[]> line : lines.entrySet()) {
            XYSeries series = chart.addSeries(line.getKey(), times, Arrays.stream(line.getValue()).map(Charts::drawable).toArray());
            series.setXYSeriesRenderStyle(style).setMarker(length > FEW ? SeriesMarkers.NONE : SeriesMarkers.CIRCLE)
                    .setMarkerColor(COLORS[color % COLORS.length]);
            // The first is the widest, so that lines on top of it leave it visible.
            series.setLineColor(COLORS[color++ % COLORS.length]).setLineWidth(4 + 5 * Math.min(3, lines.size() - color))
                    .setLineStyle(SeriesLines.SOLID);
        }
        // Where all values are equally spaced, as epochs are, XChart puts its ticks on them: this unseen series is not.
        chart.addSeries("uneven", new double[] {0, 0.3, 1}, new double[] {min, min + 0.3 * (max - min), max})
                .setXYSeriesRenderStyle(XYSeriesRenderStyle.Scatter).setMarker(SeriesMarkers.NONE).setShowInLegend(false);
        return chart;
    }

    private static double drawable(double value) {
        return Math.abs(value) < LIMIT ? value : Double.NaN;
    }

    private static Font font(int style, int size) {
        return new Font(Font.SANS_SERIF, style, size);
    }
}
