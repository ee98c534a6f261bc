package io.panoptim.tools.train.moons;

import io.panoptim.tools.train.TrainingOptions;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code panoptim train moons}. */
@Command(name = "moons", sortOptions = false, description = {"Trains a network of 2-3-2 units to tell two half moons apart.",
        "Writes a plot of the data with the decision boundary, plots of the loss and the learning rate, and the numbers as CSV."})
public final class MoonsCommand implements Runnable {
    @Spec
    private CommandSpec spec;

    @Mixin
    private TrainingOptions options = new TrainingOptions("Adam", 0.01, "StepLR:step_size=50,gamma=0.99", 1000, 0,
            Path.of("moons"));

    @Override
    public void run() {
        options.run(Moons::new, spec.commandLine().getOut(), spec.commandLine().getErr());
    }
}
