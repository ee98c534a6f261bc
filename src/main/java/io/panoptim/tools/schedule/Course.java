package io.panoptim.tools.schedule;

import io.panoptim.PanoptimException;
import io.panoptim.optim.Hyperparameter;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.ParamGroup;
import io.panoptim.schedule.LRScheduler;
import io.panoptim.tools.replay.Metrics;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What a scheduler does: for each number that changes, and the learning rate in any case, and for each group the value in
 * every step.
 *
 * @param scheduler its name
 * @param steps how many
 * @param lines first by the hyperparameter's name, then by the group's column name
 */
record Course(String scheduler, int steps, Map<String, Map<String, double[]>> lines) {
    private static final int WIDTH = 14;

    /** Steps an optimizer, which has no gradients, and its scheduler. */
    static Course of(Optimizer optimizer, LRScheduler scheduler, Metrics metrics, int steps) {
        Map<String, Map<String, double[]>> lines = new LinkedHashMap<>();
        List<Hyperparameter> hyperparameters = optimizer.hyperparameters();
        List<ParamGroup> groups = optimizer.paramGroups();
        double[][][] values = new double[hyperparameters.size()][groups.size()][steps];
        for (int step = 0; step < steps; step++) {
            for (int i = 0; i < values.length; i++) {
                for (int group = 0; group < groups.size(); group++) {
                    values[i][group][step] = hyperparameters.get(i).get(groups.get(group));
                }
            }
            if (step < steps - 1) {
                optimizer.step();
                advance(scheduler, metrics, step);
            }
        }
        for (int i = 0; i < values.length; i++) {
            String name = hyperparameters.get(i).name();
            if (name.equals("lr") || changes(values[i])) {
                Map<String, double[]> columns = new LinkedHashMap<>();
                for (int group = 0; group < groups.size(); group++) {
                    columns.put(groups.size() == 1 ? name : name + " of group " + group, values[i][group]);
                }
                lines.put(name, columns);
            }
        }
        return new Course(scheduler.getClass().getSimpleName(), steps, lines);
    }

    private static void advance(LRScheduler scheduler, Metrics metrics, int step) {
        try {
            metrics.step(scheduler, step);
        } catch (PanoptimException refused) {
            throw new PanoptimException(refused.code(), "schedule", "after step " + step + ": " + refused.getMessage()
                    + " (--steps shows fewer)", refused);
        }
    }

    private static boolean changes(double[][] values) {
        for (double[] ofGroup : values) {
            for (double value : ofGroup) {
                if (Double.compare(value, ofGroup[0]) != 0) {
                    return true;
                }
            }
        }
        return false;
    }

    /** With a heading, and every so many steps; the last one too. */
    String table(int every) {
        StringBuilder text = new StringBuilder("  step");
        columns().keySet().forEach(name -> text.append(String.format(Locale.ROOT, "  %" + WIDTH + "s", name)));
        text.append('\n');
        for (int step : shown(every)) {
            text.append(String.format(Locale.ROOT, "%6d", step));
            columns().forEach((name, values) -> text.append(String.format("  %" + Math.max(WIDTH, name.length()) + "s",
                    rounded(values[step]))));
            text.append('\n');
        }
        return text.toString();
    }

    /** Six digits, without the zeros that end them. */
    private static String rounded(double value) {
        return String.format(Locale.ROOT, "%.6g", value).replaceFirst("(\\.\\d*?)0+(e|$)", "$1$2").replaceFirst("\\.(e|$)", "$1");
    }

    /** The same for programs; reading a number back gives the same double. */
    String csv(int every) {
        StringBuilder text = new StringBuilder("step");
        columns().keySet().forEach(name -> text.append(',').append(name));
        text.append('\n');
        for (int step : shown(every)) {
            text.append(step);
            columns().values().forEach(values -> text.append(',').append(values[step]));
            text.append('\n');
        }
        return text.toString();
    }

    private Map<String, double[]> columns() {
        Map<String, double[]> columns = new LinkedHashMap<>();
        lines.values().forEach(columns::putAll);
        return columns;
    }

    private List<Integer> shown(int every) {
        List<Integer> shown = new ArrayList<>();
        for (int step = 0; step < steps; step++) {
            if (step % every == 0 || step == steps - 1) {
                shown.add(step);
            }
        }
        return shown;
    }
}
