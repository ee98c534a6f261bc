package io.panoptim.tools.train.digits;

import io.panoptim.engine.Engine;
import io.panoptim.tensor.Memory;
import io.panoptim.tools.train.Batches;
import io.panoptim.tools.train.Experiment;
import io.panoptim.tools.train.Task;
import io.panoptim.tools.train.Task.Group;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;

/** Handwritten digits, told apart by a model whose parts have learning rates of their own. */
final class Digits implements Experiment {
    private final Memory memory;
    private final Images training = Images.all().training();
    private final Images heldOut = Images.all().heldOut();
    private final Model model;
    private final Batches batches;
    private final double featuresRate;

    Digits(Engine engine, int batchSize, double featuresRate, long seed) {
        Random random = new Random(seed);
        this.featuresRate = featuresRate;
        memory = engine.memory();
        model = Model.create(memory, random, training.classes());
        batches = new Batches(training.size(), batchSize, random);
    }

    @Override
    public String description() {
        return "handwritten digits: " + training.size() + " images of 8 x 8 pixels, " + heldOut.size() + " held out; two convolutions "
                + "and a linear layer; " + batches;
    }

    @Override
    public List<Task> tasks() {
        return List.of(new Task("", List.of(new Group("features", model.features().parameters(), featuresRate),
                new Group("classifier", model.classifier().parameters(), 1)), this::lossAndGradients));
    }

    @Override
    public int batches() {
        return batches.count();
    }

    @Override
    public void select(int epoch, int batch) {
        batches.select(batch);
    }

    double lossAndGradients() {
        return model.lossAndGradients(batches.of(training.pixels(), Images.PIXELS), batches.of(training.labels()), false);
    }

    @Override
    public Map<String, Double> measure() {
        return Map.of("accuracy", model.accuracy(heldOut));
    }

    @Override
    public String result() {
        return String.format(Locale.ROOT, "%.2f %% of the held-out images classified rightly, %.2f %% of the others",
                100 * model.accuracy(heldOut), 100 * model.accuracy(training));
    }

    /** For each digit, and each that was taken for it, how many of the held-out images. */
    int[][] confusion() {
        int[][] counts = new int[heldOut.classes()][heldOut.classes()];
        int[] found = model.classify(heldOut);
        for (int i = 0; i < found.length; i++) {
            counts[heldOut.labels()[i]][found[i]]++;
        }
        return counts;
    }

    @Override
    public void close() {
        memory.close();
    }
}
