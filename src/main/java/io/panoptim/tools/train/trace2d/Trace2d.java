package io.panoptim.tools.train.trace2d;

import io.panoptim.engine.Engine;
import io.panoptim.tensor.Memory;
import io.panoptim.tools.train.Experiment;
import io.panoptim.tools.train.Task;
import io.panoptim.tools.train.nn.Weights;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** A descent on a surface: one parameter, the point. */
final class Trace2d implements Experiment {
    private final Memory memory;
    private final Surface surface;
    private final double[] start;
    private final Weights point;

    Trace2d(Engine engine, Surface surface, double... start) {
        this.memory = engine.memory();
        this.surface = surface;
        this.start = start;
        this.point = Weights.of("x", memory, start);
    }

    @Override
    public String description() {
        return "the descent on f(x1, x2) = " + surface.formula() + " from (" + start[0] + ", " + start[1] + "), a step an epoch";
    }

    @Override
    public List<Task> tasks() {
        return List.of(Task.of(List.of(point.parameter()), this::lossAndGradients));
    }

    double lossAndGradients() {
        point.read();
        double[] x = point.values();
        double[] gradient = surface.gradient(x[0], x[1]);
        System.arraycopy(gradient, 0, point.gradients(), 0, gradient.length);
        point.write();
        return surface.value(x[0], x[1]);
    }

    /** Where the descent is now. */
    @Override
    public Map<String, Double> measure() {
        point.read();
        Map<String, Double> coordinates = new LinkedHashMap<>();
        coordinates.put("x1", point.values()[0]);
        coordinates.put("x2", point.values()[1]);
        return coordinates;
    }

    @Override
    public String result() {
        point.read();
        double[] x = point.values();
        return String.format(Locale.ROOT, "f = %.3g at (%.3g, %.3g)", surface.value(x[0], x[1]), x[0], x[1]);
    }

    Surface surface() {
        return surface;
    }

    double[] start() {
        return start.clone();
    }

    @Override
    public void close() {
        memory.close();
    }
}
