package io.panoptim.tools.train;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What happened in each epoch, by column: losses and learning rates before its steps, and what was measured after them; and
 * the time that a step and all of the epoch took.
 */
public final class History {
    private final int epochs;
    private final Map<String, double[]> columns = new LinkedHashMap<>();
    private final double[] stepNanos;
    private final double[] epochNanos;

    History(int epochs) {
        this.epochs = epochs;
        stepNanos = new double[epochs];
        epochNanos = new double[epochs];
    }

    void record(int epoch, String column, double value) {
        columns.computeIfAbsent(column, absent -> {
            double[] values = new double[epochs];
            Arrays.fill(values, Double.NaN);
            return values;
        })[epoch] = value;
    }

    void recordTimes(int epoch, double stepTime, double epochTime) {
        stepNanos[epoch] = stepTime;
        epochNanos[epoch] = epochTime;
    }

    int epochs() {
        return epochs;
    }

    /** The columns, in the order in which they were first recorded. */
    List<String> columns() {
        return List.copyOf(columns.keySet());
    }

    /** A column, a value for each epoch. */
    public double[] values(String column) {
        double[] values = columns.get(column);
        if (values == null) {
            throw new IllegalArgumentException("no column " + column + ": there are " + columns.keySet());
        }
        return values.clone();
    }

    /** The median, in nanoseconds. */
    double stepTime() {
        return median(stepNanos);
    }

    /** The median, in nanoseconds. */
    double epochTime() {
        return median(epochNanos);
    }

    /** A line for each epoch, and the columns' names before them; reading a number back gives the same double. */
    static String csv(List<? extends Run<?>> runs) {
        boolean several = runs.size() > 1;
        StringBuilder text = new StringBuilder(several ? "run,epoch," : "epoch,")
                .append(String.join(",", runs.getFirst().history().columns())).append('\n');
        for (Run<?> run : runs) {
            for (int i = 0; i < run.history().epochs; i++) {
                text.append(several ? '"' + run.label().replace("\"", "\"\"") + "\"," : "").append(i + 1);
                for (double[] values : run.history().columns.values()) {
                    text.append(',').append(values[i]);
                }
                text.append('\n');
            }
        }
        return text.toString();
    }

    private static double median(double[] times) {
        double[] sorted = times.clone();
        Arrays.sort(sorted);
        return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
    }
}
