package io.panoptim.tools.train;

import io.panoptim.optim.Optimizer;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tools.Progress;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The training loop. */
final class Training {
    /** The words that the columns of losses and learning rates begin with. */
    static final String LOSS = "loss";
    static final String LR = "lr";

    private final Experiment experiment;
    private final List<Trainer> trainers;
    private final History history;

    /** What carries a task out. */
    record Trainer(Task task, Optimizer optimizer, Schedule schedule) {
        private Map<String, Double> rates() {
            Map<String, Double> rates = new LinkedHashMap<>();
            List<ParamGroup> groups = optimizer.paramGroups();
            for (int i = 0; i < groups.size(); i++) {
                rates.put(column(LR, task.name(), task.groups().get(i).name()), groups.get(i).lr());
            }
            return rates;
        }
    }

    private Training(Experiment experiment, List<Trainer> trainers, int epochs) {
        this.experiment = experiment;
        this.trainers = trainers;
        this.history = new History(epochs);
    }

    /**
     * As torch's loops: for each batch the gradients and the optimizer's step, for each epoch the scheduler's and an evaluation.
     */
    static History run(Experiment experiment, List<Trainer> trainers, int epochs, Progress progress) {
        Training training = new Training(experiment, trainers, epochs);
        for (int epoch = 0; epoch < epochs; epoch++) {
            progress.update(epoch + 1, training.epoch(epoch));
        }
        return training.history;
    }

    /** Returns what there is to tell of it. */
    private String epoch(int epoch) {
        long start = System.nanoTime();
        Map<String, Double> rates = new LinkedHashMap<>();
        trainers.forEach(trainer -> rates.putAll(trainer.rates()));
        trainers.forEach(trainer -> trainer.optimizer.train());
        int batches = experiment.batches();
        double[] losses = new double[trainers.size()];
        long[] nanos = {0};
        for (int batch = 0; batch < batches; batch++) {
            experiment.select(epoch, batch);
            for (int i = 0; i < losses.length; i++) {
                losses[i] += step(trainers.get(i), nanos) / batches;
            }
        }
        List<String> told = new ArrayList<>();
        for (int i = 0; i < losses.length; i++) {
            trainers.get(i).schedule.step(losses[i]);
            record(epoch, column(LOSS, trainers.get(i).task.name()), losses[i], "%.6f", told);
        }
        rates.forEach((column, rate) -> record(epoch, column, rate, "%.3g", told));
        trainers.forEach(trainer -> trainer.optimizer.eval());
        experiment.measure().forEach((column, value) -> record(epoch, column, value, "%.4g", told));
        history.recordTimes(epoch, (double) nanos[0] / (batches * losses.length), System.nanoTime() - start);
        return String.join("  ", told);
    }

    /** Returns the loss, and adds the time that the optimizer took without the model. */
    private static double step(Trainer trainer, long[] nanos) {
        long start = System.nanoTime();
        long[] model = {0};
        double loss = trainer.optimizer.step(() -> {
            long before = System.nanoTime();
            double value = trainer.task.lossAndGradients().getAsDouble();
            model[0] += System.nanoTime() - before;
            return value;
        });
        nanos[0] += System.nanoTime() - start - model[0];
        return loss;
    }

    private void record(int epoch, String column, double value, String format, List<String> told) {
        history.record(epoch, column, value);
        told.add(column + " " + String.format(Locale.ROOT, format, value));
    }

    /** A word, and the names that tell a column from others that begin with it. */
    private static String column(String word, String... names) {
        StringBuilder column = new StringBuilder(word);
        for (String name : names) {
            column.append(name.isEmpty() ? "" : " " + name);
        }
        return column.toString();
    }
}
