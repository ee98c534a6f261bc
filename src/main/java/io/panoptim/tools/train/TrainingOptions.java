package io.panoptim.tools.train;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Engines;
import io.panoptim.optim.Optimizer;
import io.panoptim.schedule.LRScheduler;
import io.panoptim.tensor.Device;
import io.panoptim.tools.JsonKeys;
import io.panoptim.tools.OptimizerKind;
import io.panoptim.tools.SchedulerKind;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import picocli.CommandLine.Option;

/** The options that all experiments have, each experiment with its own defaults, and a run as they say. */
public final class TrainingOptions {
    private static final String DEFAULT = " Default: ${DEFAULT-VALUE}.";
    private static final String OPTIMIZER = "--optimizer";
    private static final String SCHEDULER = "--scheduler";
    private static final String NONE = "none";
    private static final String BEST = "best";
    private static final String CSV = "history.csv";

    @Option(names = OPTIMIZER, paramLabel = "NAME", completionCandidates = OptimizerKind.Names.class, description =
            "One of ${COMPLETION-CANDIDATES}, with PyTorch's defaults but for the learning rate." + DEFAULT)
    private String optimizer;

    @Option(names = "--lr", paramLabel = "RATE", description = "The initial learning rate." + DEFAULT)
    private double lr;

    @Option(names = SCHEDULER, paramLabel = "NAME:KEY=VALUE,...", completionCandidates = SchedulerKind.Names.class,
            description = "One of ${COMPLETION-CANDIDATES}, with PyTorch's keys, a list with '+' as in "
                    + "MultiStepLR:milestones=500+750,gamma=0.1; or " + NONE + "." + DEFAULT)
    private String scheduler;

    @Option(names = "--epochs", paramLabel = "N", description = "How many steps on all of the data." + DEFAULT)
    private int epochs;

    @Option(names = "--seed", paramLabel = "N", description =
            "Of the data and the initial parameters: equal seeds give equal results." + DEFAULT)
    private long seed;

    @Option(names = "--device", paramLabel = "NAME", description =
            "The engine: reference, cpu, cuda, or the best that can be had." + DEFAULT)
    private String device = BEST;

    @Option(names = "--output", paramLabel = "DIR", description = "The folder for the plots and " + CSV + "." + DEFAULT)
    private Path output;

    /** The options with an experiment's defaults. */
    public TrainingOptions(String optimizer, double lr, String scheduler, int epochs, long seed, Path output) {
        this.optimizer = optimizer;
        this.lr = lr;
        this.scheduler = scheduler;
        this.epochs = epochs;
        this.seed = seed;
        this.output = output;
    }

    /** Trains, writes the results and reports on the way. What cannot be drawn is said in one line, and is no failure. */
    public void run(Experiment.Factory factory, PrintWriter out, PrintWriter err) {
        run(factory, out, err, Charts::unavailable);
    }

    void run(Experiment.Factory factory, PrintWriter out, PrintWriter err, Supplier<Optional<String>> chartsUnavailable) {
        if (epochs < 1) {
            throw PanoptimException.invalid("--epochs", epochs + ": at least 1 is needed");
        }
        OptimizerKind<?, ?> kind = OptimizerKind.named(optimizer, message -> PanoptimException.invalid(OPTIMIZER, message));
        Engine engine = device.equals(BEST) ? Engines.forDevice(Device.cpu()) : Engines.named(device);
        try (Experiment experiment = factory.create(engine, seed);
             Optimizer chosen = kind.create(engine, experiment.parameters(), Map.of("lr", lr))) {
            Optional<LRScheduler> schedule = scheduler.equals(NONE) ? Optional.empty()
                    : Optional.of(SchedulerKind.attach(chosen, JsonKeys.parse(SCHEDULER, scheduler)));
            createFolder();
            out.println(experiment.description());
            out.println(optimizer + ", lr " + lr + ", scheduler " + scheduler + ", seed " + seed);
            out.println(engine.name() + " engine: " + engine.description());
            out.flush();
            History history = train(experiment, chosen, schedule, out);
            out.println();
            report(out, "result", experiment.result());
            report(out, "loss", String.format(Locale.ROOT, "%.6g in epoch %d, %.6g in the first", history.losses()[epochs - 1],
                    epochs, history.losses()[0]));
            report(out, "optimizer step", microseconds(history.stepTime()));
            report(out, "whole epoch", microseconds(history.epochTime()));
            report(out, "written", write(experiment, history, err, chartsUnavailable));
            out.flush();
        }
    }

    private History train(Experiment experiment, Optimizer chosen, Optional<LRScheduler> schedule, PrintWriter out) {
        try (Progress progress = Progress.of(out, epochs)) {
            return Training.run(experiment, chosen, schedule, epochs, progress);
        }
    }

    /** Before the training, so that none is lost. */
    private void createFolder() {
        try {
            Files.createDirectories(output);
        } catch (IOException failure) {
            throw new PanoptimException(Code.UNAVAILABLE, "--output", output + " cannot be created: " + failure, failure);
        }
    }

    /** The numbers first, so that no missing font loses them. */
    private String write(Experiment experiment, History history, PrintWriter err,
                         Supplier<Optional<String>> chartsUnavailable) {
        List<String> files = new ArrayList<>(List.of(CSV));
        try {
            Files.writeString(output.resolve(CSV), history.csv());
            Optional<String> failure = chartsUnavailable.get();
            if (failure.isEmpty()) {
                failure = Charts.attempt(() -> {
                    files.addAll(experiment.draw(output));
                    files.addAll(Charts.draw(history, output));
                });
            }
            failure.ifPresent(reason -> err.println("panoptim: no plots: " + reason));
            err.flush();
        } catch (IOException failure) {
            throw new PanoptimException(Code.UNAVAILABLE, "--output", "cannot write into " + output + ": " + failure, failure);
        }
        return String.join(", ", files) + " in " + output.toAbsolutePath().normalize();
    }

    private static void report(PrintWriter out, String name, String text) {
        out.printf(Locale.ROOT, "%-16s%s%n", name, text);
    }

    private static String microseconds(double nanos) {
        return String.format(Locale.ROOT, "%.2f us (median)", nanos / 1000);
    }
}
