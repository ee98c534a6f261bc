package io.panoptim.tools.train.regression;

import io.panoptim.engine.Engine;
import io.panoptim.tensor.Memory;
import io.panoptim.tools.train.Batches;
import io.panoptim.tools.train.Experiment;
import io.panoptim.tools.train.Task;
import io.panoptim.tools.train.nn.Linear;
import io.panoptim.tools.train.nn.Loss;
import io.panoptim.tools.train.nn.Network;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;

/** Linear regression on standardised data. */
final class Regression implements Experiment {
    private final Memory memory;
    private final Table table;
    private final Batches batches;
    private final Network network;
    private final double[] inputs;
    private final double[] targets;
    private final double best;

    Regression(Engine engine, Table data, int batchSize, Random random) {
        memory = engine.memory();
        table = data.standardized();
        int width = table.inputs();
        inputs = table.rows().stream().flatMapToDouble(row -> Arrays.stream(row, 0, width)).toArray();
        targets = table.rows().stream().mapToDouble(row -> row[width]).toArray();
        best = LeastSquares.halfMeanSquaredError(table.rows());
        network = new Network(new Linear("linear", memory, random, width, 1));
        batches = new Batches(targets.length, batchSize, random);
    }

    @Override
    public String description() {
        return "linear regression on " + table.name() + ", " + targets.length + " x " + table.inputs() + ", standardised; "
                + batches;
    }

    @Override
    public List<Task> tasks() {
        return List.of(Task.of(network.parameters(), this::lossAndGradients));
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
        network.read();
        double[] outputs = network.forward(batches.of(inputs, table.inputs()), batches.rows());
        Loss loss = Loss.halfSquaredError(outputs, batches.of(targets, 1));
        network.backward(loss.gradient());
        network.write();
        return loss.value();
    }

    @Override
    public String result() {
        return String.format(Locale.ROOT, "half the mean squared error is %.6f; the least possible is %.6f",
                Loss.halfSquaredError(predictions(), targets).value(), best);
    }

    /** What the model says, row by row. */
    double[] predictions() {
        network.read();
        return network.forward(inputs, targets.length);
    }

    double[] targets() {
        return targets.clone();
    }

    @Override
    public void close() {
        memory.close();
    }
}
