package io.panoptim.tools.train.moons;

import io.panoptim.tools.train.Comparison;
import io.panoptim.tools.train.LearningRate;
import io.panoptim.tools.train.TrainingOptions;
import java.nio.file.Path;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code panoptim train moons}. */
@Command(name = "moons", sortOptions = false, description = {"Trains a network of 2-3-2 units to tell two half moons apart.",
        "Writes a plot of the data with the decision boundary, plots of the loss and the learning rate, and the numbers as CSV."})
public final class MoonsCommand implements Runnable {
    @Mixin
    private TrainingOptions options = new TrainingOptions("Adam", LearningRate.of(0.01, Map.of("SGD", 0.5, "ASGD", 0.5)),
            "StepLR:step_size=50,gamma=0.99", 1000, Path.of("moons"));

    @Mixin
    private Comparison comparison = new Comparison();

    @Override
    public void run() {
        options.run(Moons::new, DecisionPlot::draw, comparison);
    }
}
