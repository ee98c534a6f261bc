package io.panoptim.tools.train.moons;

import io.panoptim.engine.Engine;
import io.panoptim.tensor.Memory;
import io.panoptim.tools.train.Experiment;
import io.panoptim.tools.train.Task;
import io.panoptim.tools.train.nn.Activation;
import io.panoptim.tools.train.nn.Linear;
import io.panoptim.tools.train.nn.Loss;
import io.panoptim.tools.train.nn.Network;
import java.util.Arrays;
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
    private final double[] inputs;
    private final Network network;

    Moons(Engine engine, long seed) {
        Random random = new Random(seed);
        memory = engine.memory();
        data = TwoMoons.create(random, POINTS_PER_MOON, NOISE);
        inputs = Arrays.stream(data.points()).flatMapToDouble(Arrays::stream).toArray();
        network = new Network(new Linear("hidden", memory, random, 2, UNITS), Activation.tanh(),
                new Linear("output", memory, random, UNITS, 2));
    }

    @Override
    public String description() {
        return "two moons: " + data.size() + " points with noise " + NOISE + "; a network of 2-" + UNITS
                + "-2 units, tanh and softmax";
    }

    @Override
    public List<Task> tasks() {
        return List.of(Task.of(network.parameters(), this::lossAndGradients));
    }

    double lossAndGradients() {
        network.read();
        Loss loss = Loss.crossEntropy(network.forward(inputs, data.size()), data.labels());
        network.backward(loss.gradient());
        network.write();
        return loss.value();
    }

    @Override
    public String result() {
        network.read();
        double[] probabilities = Loss.softmax(network.forward(inputs, data.size()), 2);
        long correct = IntStream.range(0, data.size()).filter(i -> (probabilities[2 * i + 1] > 0.5) == (data.labels()[i] == 1))
                .count();
        return String.format(Locale.ROOT, "%.1f %% training accuracy (%d of %d points)", 100.0 * correct / data.size(), correct,
                data.size());
    }

    TwoMoons data() {
        return data;
    }

    /** That a point is of moon 1, as the network was when {@link #result} was last called. */
    double probability(double x, double y) {
        return Loss.softmax(network.forward(new double[] {x, y}, 1), 2)[1];
    }

    @Override
    public void close() {
        memory.close();
    }
}
