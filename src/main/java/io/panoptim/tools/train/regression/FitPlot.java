package io.panoptim.tools.train.regression;

import io.panoptim.tools.train.Charts;
import io.panoptim.tools.train.Run;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.knowm.xchart.XYChart;

/** What the model says of each row against what is so. */
final class FitPlot {
    private static final Color INK = new Color(0x30363d);

    private FitPlot() {}

    static List<String> draw(List<Run<Regression>> runs, Path folder) throws IOException {
        List<String> files = new ArrayList<>();
        for (int i = 0; i < runs.size(); i++) {
            files.add(Charts.save(chart(runs.get(i), i), folder, Charts.name("fit", i)));
        }
        return files;
    }

    private static XYChart chart(Run<Regression> run, int index) {
        double[] targets = run.experiment().targets();
        double min = Arrays.stream(targets).min().orElseThrow();
        double max = Arrays.stream(targets).max().orElseThrow();
        double[] predictions = Arrays.stream(run.experiment().predictions())
                .map(value -> Math.abs(value) < 10 * (max - min) ? value : Double.NaN).toArray();
        XYChart chart = Charts.chart("Linear regression, " + run.label(), "target (standardised)", "prediction");
        chart.getStyler().setMarkerSize(9);
        Charts.points(chart, "rows", targets, predictions, Charts.color(index));
        Charts.line(chart, "prediction = target", new double[] {min, max}, new double[] {min, max}, INK);
        return chart;
    }
}
