package io.panoptim.tools.train.gan;

import io.panoptim.PanoptimException;
import io.panoptim.tools.train.Entrant;
import io.panoptim.tools.train.LearningRate;
import io.panoptim.tools.train.Task;
import io.panoptim.tools.train.TrainingOptions;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code panoptim train gan}. */
@Command(name = "gan", sortOptions = false, description = {"Trains a generator of normally distributed numbers against a discriminator, "
        + "each with an optimizer of its own.",
        "Writes a plot of the distributions, plots of the losses and learning rates, and the numbers as CSV."})
public final class GanCommand implements Runnable {
    private static final String DISCRIMINATOR = "--discriminator-optimizer";

    @Mixin
    private TrainingOptions options = new TrainingOptions("Adam:betas=0.5+0.999",
            LearningRate.of(0.002, Map.of("SGD", 0.1, "ASGD", 0.1)),
            "StepLR:step_size=1,gamma=0.93", 40, Path.of("gan"));

    @Option(names = DISCRIMINATOR, paramLabel = "NAME[:KEY=VALUE,...]", description = "The discriminator's optimizer; --optimizer is "
            + "the generator's. Default: the same.")
    private @Nullable String discriminator;

    @Option(names = "--discriminator-rate", paramLabel = "FACTOR", description = "The discriminator's learning rate as a multiple of "
            + "what is said of it: one that learns faster keeps the balance. Default: ${DEFAULT-VALUE}.")
    private double discriminatorRate = 4;

    @Option(names = "--batch", paramLabel = "N", description = "How many numbers a step is taken on. Default: ${DEFAULT-VALUE}.")
    private int batch = 64;

    @Override
    public void run() {
        if (batch < 1) {
            throw PanoptimException.invalid("--batch", batch + ": at least 1 is needed");
        }
        Task.Group.checkRate("--discriminator-rate", discriminatorRate);
        Entrant.Choice own = discriminator == null ? options.optimizer() : new Entrant.Choice(DISCRIMINATOR, discriminator);
        options.run(List.of(new Entrant<>(own.text() + " against " + options.optimizer().text(),
                (engine, seed) -> new Gan(engine, batch, discriminatorRate, seed), List.of(own, options.optimizer()), options.scheduler())),
                DistributionPlot::draw);
    }
}
