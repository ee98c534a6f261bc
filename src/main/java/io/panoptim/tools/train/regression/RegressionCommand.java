package io.panoptim.tools.train.regression;

import io.panoptim.tools.train.BatchSize;
import io.panoptim.tools.train.Comparison;
import io.panoptim.tools.train.LearningRate;
import io.panoptim.tools.train.TrainingOptions;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code panoptim train regression}. */
@Command(name = "regression", sortOptions = false, description = {"Predicts the last column of a table from the others by a linear "
        + "function, in mini-batches. All columns are standardised; the loss is half the squared error.",
        "Writes a plot of the predictions, plots of the loss and the learning rate, and the numbers as CSV."})
public final class RegressionCommand implements Runnable {
    @Mixin
    private TrainingOptions options = new TrainingOptions("Adam",
            LearningRate.of(0.01, Map.of("SGD", 0.05, "ASGD", 0.05, "Adagrad", 0.1)), "none", 10, Path.of("regression"));

    @Mixin
    private BatchSize batch = new BatchSize(10);

    @Mixin
    private Comparison comparison = new Comparison();

    @Option(names = "--data", paramLabel = "FILE", description = "A text file, a row a line, with tabs, semicolons, commas or blanks "
            + "between the numbers; the first line may be a headline. Default: a generated data set of 1500 x 5.")
    private @Nullable Path data;

    @Override
    public void run() {
        Table read = data == null ? null : Table.read(data);
        options.run((engine, seed) -> {
            Random random = new Random(seed);
            return new Regression(engine, read == null ? Table.generate(random) : read, batch.rows(), random);
        }, FitPlot::draw, comparison);
    }
}
