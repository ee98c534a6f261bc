package io.panoptim.tools.train.moons;

import io.panoptim.engine.Engine;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tools.train.Experiment;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.stream.IntStream;

/** A network of 2-3-2 units on 200 points of two moons. */
final class Moons implements Experiment {
    private static final int POINTS_PER_MOON = 100;
    private static final double NOISE = 0.2;
    private static final int UNITS = 3;

    private final Memory memory;
    private final TwoMoons data;
    private final TanhNetwork network;

    Moons(Engine engine, long seed) {
        Random random = new Random(seed);
        memory = engine.memory();
        data = TwoMoons.create(random, POINTS_PER_MOON, NOISE);
        network = new TanhNetwork(memory, random, 2, UNITS, 2);
    }

    @Override
    public String description() {
        return "two moons: " + data.size() + " points with noise " + NOISE + "; a network of 2-" + UNITS
                + "-2 units, tanh and softmax";
    }

    @Override
    public List<Parameter> parameters() {
        return network.parameters();
    }

    @Override
    public double lossAndGradients() {
        return network.lossAndGradients(data.points(), data.labels());
    }

    @Override
    public String result() {
        network.refresh();
        long correct = IntStream.range(0, data.size())
                .filter(i -> (network.probabilities(data.points()[i])[1] > 0.5) == (data.labels()[i] == 1)).count();
        return String.format(Locale.ROOT, "%.1f %% training accuracy (%d of %d points)", 100.0 * correct / data.size(), correct,
                data.size());
    }

    @Override
    public List<String> draw(Path folder) throws IOException {
        return List.of(DecisionPlot.draw(this::probability, data, "Two moons: " + result(), folder));
    }

    private double probability(double x, double y) {
        return network.probabilities(new double[] {x, y})[1];
    }

    @Override
    public void close() {
        memory.close();
    }
}
