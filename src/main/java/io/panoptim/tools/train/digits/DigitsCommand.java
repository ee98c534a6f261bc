package io.panoptim.tools.train.digits;

import io.panoptim.tools.train.BatchSize;
import io.panoptim.tools.train.Comparison;
import io.panoptim.tools.train.LearningRate;
import io.panoptim.tools.train.Task;
import io.panoptim.tools.train.TrainingOptions;
import java.nio.file.Path;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code panoptim train digits}. */
@Command(name = "digits", sortOptions = false, description = {"Trains a small convolutional network on handwritten digits (UCI's, 8 x 8 "
        + "pixels). Its features and its classifier are two parameter groups with learning rates of their own.",
        "Writes plots of the loss, the learning rates and the accuracy on held-out images, and the numbers as CSV."})
public final class DigitsCommand implements Runnable {
    @Mixin
    private TrainingOptions options = new TrainingOptions("Adam",
            LearningRate.of(0.01, Map.of("SGD", 0.2, "ASGD", 0.2)), "StepLR:step_size=1,gamma=0.85", 15, Path.of("digits"));

    @Mixin
    private BatchSize batch = new BatchSize(32);

    @Mixin
    private Comparison comparison = new Comparison();

    @Option(names = "--features-rate", paramLabel = "FACTOR", description = "The learning rate of the features, as a multiple of the "
            + "classifier's. Default: ${DEFAULT-VALUE}.")
    private double featuresRate = 0.5;

    @Override
    public void run() {
        Task.Group.checkRate("--features-rate", featuresRate);
        options.run((engine, seed) -> new Digits(engine, batch.rows(), featuresRate, seed), ConfusionPlot::draw, comparison);
    }
}
