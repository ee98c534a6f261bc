package io.panoptim.tools.train.transfer;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.tools.train.BatchSize;
import io.panoptim.tools.train.Entrant;
import io.panoptim.tools.train.LearningRate;
import io.panoptim.tools.train.Task;
import io.panoptim.tools.train.TrainingOptions;
import io.panoptim.tools.train.transfer.Transfer.Strategy;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code panoptim train transfer}. */
@Command(name = "transfer", sortOptions = false, description = {"Trains a convolutional network on the handwritten digits 0 to 4, then "
        + "fine-tunes it to 5 to 9 with a new classifier and few images: once with one learning rate for everything, and once with "
        + "the features frozen at first, and then thawed with a lower rate. The rate at which a new classifier learns soon is one that "
        + "destroys features; with --lr 0.01 the features suffer little, and one rate does as well.",
        "Writes plots of the loss, the learning rates and the accuracy on held-out images, and the numbers as CSV."})
public final class TransferCommand implements Runnable {
    @Mixin
    private TrainingOptions options = new TrainingOptions("Adam", LearningRate.of(0.03, Map.of("SGD", 0.2, "ASGD", 0.2)), "none", 30,
            Path.of("transfer"));

    @Mixin
    private BatchSize batch = new BatchSize(10);

    @Option(names = "--images", paramLabel = "N", description = "How many images of each new digit are seen. Default: ${DEFAULT-VALUE}.")
    private int images = 10;

    @Option(names = "--features-rate", paramLabel = "FACTOR", description = "The learning rate of the thawed features, as a multiple of "
            + "the classifier's. Default: ${DEFAULT-VALUE}.")
    private double featuresRate = 0.3;

    @Option(names = "--frozen", paramLabel = "N", description = "For how many epochs the features are frozen. Default: ${DEFAULT-VALUE}.")
    private int frozen = 5;

    private @Nullable Pretraining pretraining;

    @Override
    public void run() {
        if (images < 1 || images > 100) {
            throw PanoptimException.invalid("--images", images + ": 1 to 100 can be chosen");
        }
        Task.Group.checkRate("--features-rate", featuresRate);
        options.run(List.of(entrant("one rate", Strategy.ONE_RATE),
                entrant("frozen, then thawed", new Strategy(featuresRate, frozen))), (runs, folder) -> List.of());
    }

    private Entrant<Transfer> entrant(String label, Strategy strategy) {
        return new Entrant<>(label, (engine, seed) -> new Transfer(engine, pretraining(engine, seed), strategy, images, batch.rows(),
                seed), List.of(options.optimizer()), options.scheduler());
    }

    /** All start from the same. */
    private Pretraining pretraining(Engine engine, long seed) {
        if (pretraining == null) {
            pretraining = Pretraining.run(engine, seed);
        }
        return pretraining;
    }
}
