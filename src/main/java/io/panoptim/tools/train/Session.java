package io.panoptim.tools.train;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.optim.Optimizer;
import io.panoptim.tools.JsonKeys;
import io.panoptim.tools.OptimizerKind;
import io.panoptim.tools.Progress;
import io.panoptim.tools.train.Entrant.Choice;
import io.panoptim.tools.train.Task.Group;
import io.panoptim.tools.train.Training.Trainer;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/** One training or several, one after the other: what they say, and what they leave behind. */
final class Session<E extends Experiment> implements AutoCloseable {
    static final String CSV = "history.csv";

    private final Engine engine;
    private final long seed;
    private final LearningRate lr;
    private final List<Candidate<E>> candidates = new ArrayList<>();
    /** The last opened first. */
    private final Deque<Runnable> closing = new ArrayDeque<>();

    /** An entrant, and all that it needs. */
    private record Candidate<E extends Experiment>(Entrant<E> entrant, E experiment, List<Trainer> trainers) {
        /** One line: what trains. */
        String title() {
            StringBuilder title = new StringBuilder();
            if (!entrant.label().startsWith(entrant.optimizers().getFirst().text())) {
                title.append(entrant.label()).append(": ");
            }
            for (int i = 0; i < trainers.size(); i++) {
                String task = trainers.get(i).task().name();
                title.append(task).append(task.isEmpty() ? "" : " ").append(entrant.optimizers().get(i).text()).append(", lr ")
                        .append(trainers.get(i).optimizer().paramGroups().stream().map(group -> "" + group.lr())
                                .collect(Collectors.joining(" and "))).append(", ");
            }
            return title.append("scheduler ").append(entrant.scheduler().text()).toString();
        }
    }

    /** Prepares trainings, so that what is wrong shows before the first of them. */
    Session(Engine engine, long seed, LearningRate lr, List<Entrant<E>> entrants) {
        this.engine = engine;
        this.seed = seed;
        this.lr = lr;
        try {
            entrants.forEach(entrant -> candidates.add(prepare(entrant)));
        } catch (RuntimeException | Error refused) {
            close();
            throw refused;
        }
    }

    private Candidate<E> prepare(Entrant<E> entrant) {
        E experiment = entrant.factory().create(engine, seed);
        closing.push(experiment::close);
        List<Trainer> trainers = new ArrayList<>();
        for (int i = 0; i < experiment.tasks().size(); i++) {
            Task task = experiment.tasks().get(i);
            Optimizer optimizer = optimizer(entrant.optimizers().get(i), task.groups());
            closing.push(optimizer::close);
            trainers.add(new Trainer(task, optimizer, Schedule.attach(optimizer, entrant.scheduler())));
        }
        return new Candidate<>(entrant, experiment, trainers);
    }

    private Optimizer optimizer(Choice choice, List<Group> groups) {
        JsonKeys keys = choice.keys();
        OptimizerKind<?, ?> kind = OptimizerKind.named(keys.text("name"),
                message -> PanoptimException.invalid(choice.option(), message));
        double rate = keys.has("lr") ? keys.number("lr") : lr.of(kind);
        String source = keys.has("lr") ? choice.option() : TrainingOptions.LR;
        List<JsonKeys> rates = groups.stream().map(group -> JsonKeys.of(source, Map.of("lr", rate * group.rate()))).toList();
        return kind.recipe(keys, rates).make(engine, groups.stream().map(Group::parameters).toList());
    }

    /** Trains all, one after the other, and reports how it went. */
    List<Run<E>> train(int epochs, PrintWriter out) {
        out.println(candidates.getFirst().experiment.description() + "; seed " + seed);
        out.println(engine.name() + " engine: " + engine.description());
        List<Run<E>> runs = new ArrayList<>();
        for (Candidate<E> candidate : candidates) {
            out.println();
            out.println(candidate.title());
            out.flush();
            try (Progress progress = Progress.of(out, "epoch", epochs)) {
                runs.add(new Run<>(candidate.entrant.label(), candidate.experiment,
                        Training.run(candidate.experiment, candidate.trainers, epochs, progress)));
            }
        }
        out.println();
        runs.forEach(run -> summarize(run, runs.size() > 1, out));
        return runs;
    }

    private static void summarize(Run<?> run, boolean several, PrintWriter out) {
        History history = run.history();
        int last = history.epochs() - 1;
        if (several) {
            out.println(run.label());
        }
        report(out, "result", run.experiment().result());
        for (String column : history.columns().stream().filter(name -> Charts.topic(name).equals(Training.LOSS)).toList()) {
            double[] losses = history.values(column);
            report(out, column, String.format(Locale.ROOT, "%.6g in epoch %d, %.6g in the first", losses[last], last + 1, losses[0]));
        }
        if (!several) {
            report(out, "optimizer step", microseconds(history.stepTime()));
            report(out, "whole epoch", microseconds(history.epochTime()));
        }
    }

    /** Writes the numbers first, so that no missing font loses them; returns what was written, and why other things were not. */
    List<String> write(List<Run<E>> runs, Run.Plots<E> plots, Path folder, PrintWriter err,
                       Supplier<Optional<String>> chartsUnavailable) throws IOException {
        List<String> files = new ArrayList<>(List.of(CSV));
        Files.writeString(folder.resolve(CSV), History.csv(runs));
        Optional<String> failure = chartsUnavailable.get();
        if (failure.isEmpty()) {
            failure = Charts.attempt(() -> {
                files.addAll(plots.draw(runs, folder));
                files.addAll(Charts.draw(runs, folder));
            });
        }
        failure.ifPresent(reason -> err.println("panoptim: no plots: " + reason));
        err.flush();
        return files;
    }

    static void report(PrintWriter out, String name, String text) {
        out.printf(Locale.ROOT, "%-20s%s%n", name, text);
    }

    private static String microseconds(double nanos) {
        return String.format(Locale.ROOT, "%.2f us (median)", nanos / 1000);
    }

    /** Frees optimizers and experiments. */
    @Override
    public void close() {
        while (!closing.isEmpty()) {
            closing.pop().run();
        }
    }
}
