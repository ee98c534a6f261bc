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
    private static final Color BLUE = new Color(0x2166ac);

    private Charts() {}

    /** What can fail for want of a font. */
    interface Drawing {
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
    static Optional<String> attempt(Drawing drawing) throws IOException {
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

    /** Writes a chart as PNG, and returns the file's name. */
    public static String save(XYChart chart, Path folder, String name) throws IOException {
        ChartEncoder.saveChart(chart, folder.resolve(name).toString(), "png");
        return name;
    }

    /** Loss and learning rate. */
    static List<String> draw(History history, Path folder) throws IOException {
        XYChart loss = overEpochs("Training loss", "loss", history.losses(), XYSeriesRenderStyle.Line);
        loss.getStyler().setYAxisMin(0.0);
        XYChart lr = overEpochs("Learning rate", "learning rate", history.lrs(), XYSeriesRenderStyle.Step);
        return List.of(save(loss, folder, "loss.png"), save(lr, folder, "lr.png"));
    }

    private static XYChart overEpochs(String title, String quantity, double[] values, XYSeriesRenderStyle style) {
        double[] epochs = IntStream.rangeClosed(1, values.length).asDoubleStream().toArray();
        double[] drawable = Arrays.stream(values).map(value -> Math.abs(value) < LIMIT ? value : Double.NaN).toArray();
        DoubleSummaryStatistics range = Arrays.stream(drawable).filter(Double::isFinite).summaryStatistics();
        double max = range.getCount() == 0 ? 1 : range.getMax();
        double min = range.getCount() == 0 || range.getMin() == max ? 0 : range.getMin();

        XYChart chart = chart(title, "epoch", quantity);
        chart.getStyler().setLegendVisible(false).setPlotContentSize(0.95);
        chart.getStyler().setXAxisMin(0.0).setXAxisMax((double) values.length).setYAxisMin(min)
                .setYAxisDecimalPattern(max < 1e-3 || max >= 1e6 ? "0.###E0" : "0.######");
        XYSeries series = chart.addSeries(quantity, epochs, drawable);
        series.setXYSeriesRenderStyle(style).setMarker(values.length > FEW ? SeriesMarkers.NONE : SeriesMarkers.CIRCLE)
                .setMarkerColor(BLUE);
        series.setLineColor(BLUE).setLineWidth(4);
        // Where all values are equally spaced, as epochs are, XChart puts its ticks on them: this unseen series is not.
        chart.addSeries("uneven", new double[] {0, 0.3, 1}, new double[] {min, min + 0.3 * (max - min), max})
                .setXYSeriesRenderStyle(XYSeriesRenderStyle.Scatter).setMarker(SeriesMarkers.NONE);
        return chart;
    }

    private static Font font(int style, int size) {
        return new Font(Font.SANS_SERIF, style, size);
    }
}
