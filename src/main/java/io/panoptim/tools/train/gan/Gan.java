package io.panoptim.tools.train.gan;

import io.panoptim.engine.Engine;
import io.panoptim.tensor.Memory;
import io.panoptim.tools.train.Experiment;
import io.panoptim.tools.train.Task;
import io.panoptim.tools.train.Task.Group;
import io.panoptim.tools.train.nn.Activation;
import io.panoptim.tools.train.nn.Linear;
import io.panoptim.tools.train.nn.Loss;
import io.panoptim.tools.train.nn.Network;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.function.DoubleSupplier;

/**
 * Two networks that play against each other (Goodfellow and others, 2014): a generator turns noise into numbers, and a
 * discriminator tells them from those of a normal distribution. Each has an optimizer of its own, over its half of the
 * parameters.
 */
final class Gan implements Experiment {
    static final double MEAN = 4;
    static final double DEVIATION = 1.25;
    private static final int UNITS = 16;
    private static final int BATCHES = 100;
    private static final int MEASURED = 2000;

    private final Memory memory;
    private final Random random;
    private final Network generator;
    private final Network discriminator;
    private final double discriminatorsRate;
    private final double[] measuredNoise;
    private final double[] measuredTarget;
    private double[] real;
    private double[] noise;

    Gan(Engine engine, int batchSize, double discriminatorsRate, long seed) {
        this.discriminatorsRate = discriminatorsRate;
        memory = engine.memory();
        random = new Random(seed);
        generator = network("generator");
        discriminator = network("discriminator");
        measuredNoise = normal(MEASURED, 0, 1);
        measuredTarget = Arrays.stream(normal(MEASURED, MEAN, DEVIATION)).sorted().toArray();
        real = new double[batchSize];
        noise = new double[batchSize];
    }

    private Network network(String name) {
        return new Network(new Linear(name + ".0", memory, random, 1, UNITS), Activation.tanh(),
                new Linear(name + ".1", memory, random, UNITS, UNITS), Activation.tanh(),
                new Linear(name + ".2", memory, random, UNITS, 1));
    }

    @Override
    public String description() {
        return "a generative adversarial network for the normal distribution of mean " + MEAN + " and deviation " + DEVIATION + "; "
                + BATCHES + " batches of " + real.length + " an epoch";
    }

    @Override
    public List<Task> tasks() {
        return List.of(task("discriminator", discriminator, discriminatorsRate, this::discriminatorsLoss),
                task("generator", generator, 1, this::generatorsLoss));
    }

    private static Task task(String name, Network network, double rate, DoubleSupplier loss) {
        return new Task(name, List.of(new Group("", network.parameters(), rate)), loss);
    }

    @Override
    public int batches() {
        return BATCHES;
    }

    @Override
    public void select(int epoch, int batch) {
        real = normal(real.length, MEAN, DEVIATION);
        noise = normal(noise.length, 0, 1);
    }

    /** Half of the loss is about what is real, half about what is not. */
    double discriminatorsLoss() {
        double[] fake = generate(noise);
        discriminator.read();
        Loss ofReal = Loss.logistic(discriminator.forward(real, real.length), true);
        discriminator.backward(ofReal.gradient());
        Loss ofFake = Loss.logistic(discriminator.forward(fake, fake.length), false);
        discriminator.backward(ofFake.gradient());
        discriminator.write();
        return ofReal.value() + ofFake.value();
    }

    /** How little the discriminator takes the generator's numbers for real. */
    double generatorsLoss() {
        discriminator.read();
        Loss loss = Loss.logistic(discriminator.forward(generate(noise), noise.length), true);
        generator.backward(discriminator.backward(loss.gradient()));
        generator.write();
        return loss.value();
    }

    private double[] generate(double[] inputs) {
        generator.read();
        return generator.forward(inputs, inputs.length);
    }

    @Override
    public Map<String, Double> measure() {
        double[] generated = generate(measuredNoise);
        double mean = Arrays.stream(generated).average().orElseThrow();
        double variance = Arrays.stream(generated).map(x -> (x - mean) * (x - mean)).average().orElseThrow();
        Map<String, Double> measures = new LinkedHashMap<>();
        measures.put("generated mean", mean);
        measures.put("generated deviation", Math.sqrt(variance));
        return measures;
    }

    /** The distance is Wasserstein's: how far numbers must be moved in the mean to turn one sample into the other. */
    @Override
    public String result() {
        Map<String, Double> measures = measure();
        double[] generated = Arrays.stream(generate(measuredNoise)).sorted().toArray();
        double distance = 0;
        for (int i = 0; i < MEASURED; i++) {
            distance += Math.abs(generated[i] - measuredTarget[i]) / MEASURED;
        }
        return String.format(Locale.ROOT, "generated numbers have mean %.3f and deviation %.3f, at a distance of %.3f from the target",
                measures.get("generated mean"), measures.get("generated deviation"), distance);
    }

    /** So many numbers. */
    double[] generate(int count) {
        return generate(normal(count, 0, 1));
    }

    /** How probable the discriminator finds it that a number is real. */
    double[] judge(double[] numbers) {
        discriminator.read();
        return Arrays.stream(discriminator.forward(numbers, numbers.length)).map(logit -> 1 / (1 + StrictMath.exp(-logit))).toArray();
    }

    private double[] normal(int count, double mean, double deviation) {
        double[] numbers = new double[count];
        for (int i = 0; i < count; i++) {
            numbers[i] = mean + deviation * random.nextGaussian();
        }
        return numbers;
    }

    @Override
    public void close() {
        memory.close();
    }
}
